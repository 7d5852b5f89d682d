import type { Environment } from '../../src/config/config.ts'
import { startTestApp, type TestApp } from './app.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { eventually } from './visit.ts'

export interface TestCluster<N extends readonly TestApp[]> extends AsyncDisposable {
  readonly redis: TestRedis
  readonly nodes: N
}

/** Number of nodes that the node knows, itself included. */
async function knownNodes({ url }: Pick<TestApp, 'url'>): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(/^ara_cluster_nodes (\d+)/m.exec(metrics)?.[1])
}

/** Starts another node of the cluster on this Redis. */
const startNode = (redis: Pick<TestRedis, 'url'>, id: string, env: Environment = {}) =>
  startTestApp({ NODE_ID: id, STORE_URL: redis.url, BUS_URL: redis.url, ...env })

/** Waits until these nodes know each other, or each of them `count` nodes, itself included. */
export const untilJoined = (
  nodes: readonly Pick<TestApp, 'url'>[],
  count: number = nodes.length,
): Promise<void> =>
  eventually(async () => (await Promise.all(nodes.map(knownNodes))).every(known => known === count), 20_000)

async function startOn<N extends readonly TestApp[]>(
  env: Environment,
  start: (node: (id: string) => Promise<TestApp>) => Promise<N>,
): Promise<TestCluster<N>> {
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis())
  const nodes = await start(async id => starting.use(await startNode(redis, id, env)))
  await untilJoined(nodes)
  const running = starting.move()
  return { redis, nodes, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** Starts the nodes `n1` and `n2` on one Redis: `await using pair = await startPair({ QUEUE_ENABLED: 'true' })`. */
export const startPair = (env: Environment = {}) =>
  startOn<readonly [TestApp, TestApp]>(env, async node => [await node('n1'), await node('n2')])

/** Starts the nodes `n1`, `n2` and `n3` on one Redis. */
export const startTrio = (env: Environment = {}) =>
  startOn<readonly [TestApp, TestApp, TestApp]>(env, async node => [
    await node('n1'),
    await node('n2'),
    await node('n3'),
  ])
