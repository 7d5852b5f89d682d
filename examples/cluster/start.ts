import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Starts a Redis, two nodes, and HAProxy in front of them on SERVER_PORT. Runs until it is stopped. */

const { env } = process
const FOLDER = import.meta.dir
const data = await mkdtemp(join(tmpdir(), 'ara-cluster-'))

function start(name: string, command: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([...command], {
    cwd: join(FOLDER, '../..'),
    env: { ...env, ...settings },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
  })
  console.log(`${name}: pid ${child.pid}`)
  void child.exited.then(() => console.log(`${name} has ended`))
  return child
}

/** Free ports, all different: each stays taken until all are found. */
const taken = Array.from({ length: 5 }, () =>
  Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } }),
)
const [redisPort = '', aPort = '', aInternalPort = '', bPort = '', bInternalPort = ''] = taken.map(
  ({ port }) => String(port),
)
for (const listener of taken) listener.stop()
const proxyPort = env['SERVER_PORT'] ?? '8081'

const redisServer = env['REDIS_SERVER'] ?? 'redis-server'
const redis = start('Redis', [redisServer, join(FOLDER, 'redis.conf'), '--port', redisPort, '--dir', data])

/** The nodes differ only in their name and their ports. */
const startNode = (id: string, port: string, internalPort: string) =>
  start(`node ${id}`, [process.execPath, 'src/main.ts'], {
    NODE_ID: id,
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: port,
    INTERNAL_PORT: internalPort,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    BUS_URL: 'redis:',
    STORE_URL: 'redis:',
    QUEUE_ENABLED: 'true',
    QUEUE_MAX_SIZE_PER_USER: '1000',
    TRUSTED_PROXIES: '127.0.0.1',
    LOG_LEVEL: 'error',
  })
const nodes = [startNode('a', aPort, aInternalPort), startNode('b', bPort, bInternalPort)]

const proxy = start('HAProxy', ['haproxy', '-db', '-f', join(FOLDER, 'haproxy.cfg')], {
  PROXY_PORT: proxyPort,
  A_PORT: aPort,
  A_INTERNAL_PORT: aInternalPort,
  B_PORT: bPort,
  B_INTERNAL_PORT: bInternalPort,
})

const signalled = new Promise(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, resolve)
})
await signalled
const children = [proxy, ...nodes, redis]
for (const child of children) child.kill()
await Promise.all(children.map(({ exited }) => exited))
await rm(data, { recursive: true })
