import { startRedis, type TestRedis } from '../support/redis.ts'
import type { Bench } from './row.ts'
import type { LoadTarget, ServerProcess } from './server.ts'

/** Nodes with the log on, over one Redis. The Redis server is the last process of `pids`. */
export interface BenchNodes extends AsyncDisposable, LoadTarget {
  readonly servers: readonly ServerProcess[]
}

const START_LIMIT_MS = 10_000

/** Number of nodes that the node knows, itself included; 1 without a bus. */
async function knownNodes(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Number(/^ara_cluster_nodes (\d+)/m.exec(metrics)?.[1] ?? 1)
}

async function untilJoined(ports: readonly number[]): Promise<void> {
  const limit = performance.now() + START_LIMIT_MS
  while (!(await Promise.all(ports.map(knownNodes))).every(known => known === ports.length)) {
    if (performance.now() > limit) throw new Error('the nodes do not find each other')
    await Bun.sleep(20)
  }
}

/** Ends them one after the other: a node that outlives Redis complains. */
async function endAll(parts: readonly AsyncDisposable[]): Promise<void> {
  for (const part of parts) await part[Symbol.asyncDispose]()
}

async function processOf(redis: TestRedis): Promise<number> {
  return Number(/^process_id:(\d+)/m.exec(await redis.client().info('server'))?.[1])
}

/** Starts nodes of another program over one Redis. */
export async function startOthers(
  { start }: Pick<Bench, 'start'>,
  count: number,
  program: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<BenchNodes> {
  const redis = await startRedis('--appendonly', 'yes', '--appendfsync', 'everysec')
  const servers = await Promise.all(
    Array.from({ length: count }, () => start({ program, env: { BUS_URL: redis.url, ...env } })),
  )
  return {
    ports: servers.map(({ port }) => port),
    servers,
    pids: [...servers.map(({ pid }) => pid), await processOf(redis)],
    [Symbol.asyncDispose]: () => endAll([...servers, redis]),
  }
}

/** Starts nodes on the server's core and Redis on the cores of the load. */
export async function startNodes(
  { start }: Pick<Bench, 'start'>,
  count: number,
  env: Readonly<Record<string, string>> = {},
  hasBus = count > 1,
): Promise<BenchNodes> {
  const redis = await startRedis('--appendonly', 'yes', '--appendfsync', 'everysec')
  const { url } = redis
  const bus = hasBus ? { BUS_URL: url } : {}
  const servers = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      start({ env: { NODE_ID: `n${n}`, QUEUE_ENABLED: 'true', STORE_URL: url, ...bus, ...env } }),
    ),
  )
  const ports = servers.map(({ port }) => port)
  if (hasBus) await untilJoined(ports)
  return {
    ports,
    servers,
    pids: [...servers.map(({ pid }) => pid), await processOf(redis)],
    [Symbol.asyncDispose]: () => endAll([...servers, redis]),
  }
}
