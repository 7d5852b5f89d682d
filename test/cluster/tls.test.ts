import { expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CERTIFICATE, PRIVATE_KEY } from '../support/certificate.ts'
import { connectSocket } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startNodes } from '../support/node-processes.ts'
import { startRedis } from '../support/redis.ts'
import { startService } from '../support/service.ts'

const TIMEOUT_MS = 30_000

/** Redis with TLS on a second port, and the file of the authority that signed its certificate. */
async function startTlsRedis() {
  await using starting = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'ara-tls-'))
  starting.defer(() => rm(directory, { recursive: true, force: true }))
  const [authority, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  await Promise.all([writeFile(authority, CERTIFICATE), writeFile(key, PRIVATE_KEY)])
  const port = await freePort()
  const files = ['--tls-cert-file', authority, '--tls-key-file', key, '--tls-ca-cert-file', authority]
  const redis = starting.use(
    await startRedis('--tls-port', String(port), '--tls-auth-clients', 'no', ...files),
  )
  const running = starting.move()
  return {
    authority,
    redis,
    url: `rediss://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

test(
  'over TLS, nodes share log, bus and trigger with a Redis whose authority they were told',
  async () => {
    await using tls = await startTlsRedis()
    const { url, redis, authority } = tls
    await using nodes = await startNodes([url, url], {
      REDIS_URL: url,
      REDIS_CHANNELS: 'orders',
      NODE_EXTRA_CA_CERTS: authority,
    })
    const [a, b] = nodes.all
    if (a === undefined || b === undefined) throw new Error('two nodes were started')
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&cursor=`)
    await client.nextOf('connected')
    const answer = await a.send('u', 1)
    expect(await answer.json()).toMatchObject({ delivered_to: 1 })
    expect(await client.next()).toMatchObject({ payload: 1 })
    await Promise.all(nodes.all.map(node => node.line('redis.connected')))
    await redis.publish('orders', { type: 'user', target: 'u', event: { event_type: 'e', payload: 2 } })
    expect(await client.next()).toMatchObject({ payload: 2 })
  },
  TIMEOUT_MS,
)

test(
  'a Redis whose authority is unknown is refused with the name of the setting',
  async () => {
    await using tls = await startTlsRedis()
    await using service = await startService({ REDIS_URL: tls.url })
    const { reason } = await service.line('redis.unavailable')
    expect(reason).toMatch(/certificate/i)
  },
  TIMEOUT_MS,
)
