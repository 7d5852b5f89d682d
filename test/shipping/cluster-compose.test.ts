import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/config.ts'
import { API_KEY, SECRET } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startHaproxy } from '../support/haproxy.ts'
import { startRedis } from '../support/redis.ts'
import { startService } from '../support/service.ts'

interface ComposedService {
  readonly environment?: Readonly<Record<string, string | number>>
  readonly command?: string
  readonly volumes?: readonly string[]
  readonly stop_grace_period?: string
}

const FILE = join(import.meta.dir, '../../compose.cluster.yaml')
const { services } = Bun.YAML.parse(await Bun.file(FILE).text()) as {
  readonly services: Readonly<Record<string, ComposedService>>
}
const nodes = Object.entries(services).filter(([name]) => name.startsWith('node-'))

/** The settings of a composed node, with JWT_SECRET as `.env` would set it. */
const settingsOf = ({ environment = {} }: ComposedService): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value)])),
  JWT_SECRET: SECRET,
})

test('three nodes differ only in their NODE_ID, and share bus, store and secret', () => {
  expect(nodes).toHaveLength(3)
  const settings = nodes.map(([, service]) => settingsOf(service))
  expect(settings.map(({ NODE_ID }) => NODE_ID)).toEqual(['a', 'b', 'c'])
  expect(new Set(settings.map(({ NODE_ID: _, ...shared }) => JSON.stringify(shared))).size).toBe(1)
  for (const [, { environment }] of nodes) expect(environment?.['JWT_SECRET']).toStartWith('${JWT_SECRET:?')
  const { config, warnings } = loadConfig(settings[0] ?? {})
  expect(warnings).toEqual([])
  expect(config.busUrl).toEqual({ kind: 'redis', address: config.redisUrl as never })
  expect(config.storeUrl.kind).toBe('redis')
})

test('a stopped node has time for its whole drain', () => {
  for (const [, service] of nodes)
    expect(Number.parseInt(service.stop_grace_period ?? '', 10)).toBeGreaterThan(
      loadConfig(settingsOf(service)).config.drainSeconds + 1,
    )
})

test('Redis keeps what was answered, on a volume, and evicts nothing', () => {
  expect(services['redis']?.command).toContain('--appendonly yes --appendfsync always')
  expect(services['redis']?.command).toContain('--maxmemory-policy noeviction')
  expect(services['redis']?.volumes).toEqual(['redis:/data'])
})

test('behind HAProxy the nodes act as one, and go on when one of them is killed', async () => {
  const redisArguments = (services['redis']?.command ?? '').split(' ').slice(1)
  await using redis = await startRedis(...redisArguments)
  const start = async (service: ComposedService) => {
    const internalPort = await freePort()
    const settings = { ...settingsOf(service), REDIS_URL: redis.url, INTERNAL_PORT: String(internalPort) }
    return { internalPort, service: await startService({ ...settings, SERVER_PORT: '0' }) }
  }
  await using stack = new AsyncDisposableStack()
  const started: Awaited<ReturnType<typeof start>>[] = []
  // One after the other: the next free port must differ.
  for (const [, service] of nodes) {
    const node = await start(service)
    stack.use(node.service)
    started.push(node)
  }
  await using proxy = await startHaproxy(
    started.map(({ service: { port }, internalPort }) => ({ port, internalPort })),
  )
  const token = (await started[0]?.service.token('u')) ?? ''
  const sockets = await Promise.all(
    started.map(({ service }) => connectSocket(`${service.url}/ws?token=${token}&cursor=`)),
  )
  for (const socket of sockets) stack.use(socket)
  for (const socket of sockets) await socket.nextOf('connected')
  const send = (payload: number) =>
    fetch(`${proxy.url}/api/v1/notifications/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
      body: JSON.stringify({ target_user_id: 'u', event_type: 'e', payload }),
    })
  expect(await (await send(1)).json()).toMatchObject({ status: 'delivered', delivered_to: 3 })
  for (const socket of sockets) expect((await socket.next()).payload).toBe(1)
  const [first, ...others] = sockets
  started[0]?.service.signal('SIGKILL')
  await first?.closed
  expect(await (await send(2)).json()).toMatchObject({ status: 'delivered', delivered_to: 2 })
  for (const socket of others) expect((await socket.next()).payload).toBe(2)
}, 30_000)
