import { describe, expect, test } from 'bun:test'
import { HEALTHY, startNodes, untilAllAre } from '../support/node-processes.ts'
import { createRandom } from '../support/random.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { MASTER, startSentinel } from '../support/sentinel.ts'
import { holdsWithin, NO_FAULTS } from './load.ts'
import { timeUntilTriggersWork } from './trigger-probe.ts'
import { playUnderLoad, seedsOf } from './under-load.ts'

const TIMEOUT_MS = 90_000
const NOTICED_MS = 3_300
const BACK_MS = 15_000
const QUORUM = 2

/** Starts three Sentinels; resolves when they agree about the master, its replica and each other. */
async function startSentinels(master: TestRedis, stack: AsyncDisposableStack): Promise<readonly TestRedis[]> {
  const sentinels = await Promise.all([0, 1, 2].map(() => startSentinel(master, QUORUM)))
  for (const sentinel of sentinels) stack.use(sentinel)
  const isReady = async (sentinel: TestRedis): Promise<boolean> => {
    const asker = sentinel.client()
    const quorum = await asker.call('SENTINEL', 'CKQUORUM', MASTER).catch(() => '')
    const replicas = (await asker.call('SENTINEL', 'REPLICAS', MASTER)) as unknown[]
    return /^OK 3 /.test(String(quorum)) && replicas.length === 1
  }
  const areReady = async () => (await Promise.all(sentinels.map(isReady))).every(Boolean)
  expect(await holdsWithin(20_000, areReady)).toBe(true)
  return sentinels
}

/** Resolves when the Sentinel says that this Redis is the master. */
async function untilMaster(sentinel: TestRedis, { port }: TestRedis): Promise<void> {
  const asker = sentinel.client()
  const isMaster = async () => {
    const address = (await asker.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) as string[]
    return address[1] === String(port)
  }
  expect(await holdsWithin(BACK_MS, isMaster)).toBe(true)
}

describe.concurrent('Two nodes with STORE_REPLICAS=1 lose, repeat and reorder nothing, and work within 15 s', () => {
  for (const [what, strike] of [
    ['is killed', (redis: TestRedis) => redis.kill()],
    ['is frozen', async (redis: TestRedis) => redis.freeze()],
  ] as const)
    test.each(seedsOf(1))(
      `when three Sentinels replace a master that ${what} (FAULT_SEED=%d)`,
      async seed => {
        await using stack = new AsyncDisposableStack()
        const master = stack.use(await startRedis())
        const replica = stack.use(await startRedis('--replicaof', '127.0.0.1', String(master.port)))
        const sentinels = await startSentinels(master, stack)
        const [sentinel = master] = sentinels
        const url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`
        const nodes = stack.use(await startNodes([url, url], { REDIS_URL: url, STORE_REPLICAS: '1' }))
        const { figures, tries } = await playUnderLoad(nodes, {
          name: `master ${what} ${seed}`,
          random: createRandom(seed),
          rate: 100,
          // A Redis that loses data may lose a key and keep what clients were sent.
          retryAfter: [],
          disturb: async () => {
            await strike(master)
            const struckAt = performance.now()
            await untilAllAre(nodes.all, { ready: 503 }, NOTICED_MS)
            await untilMaster(sentinel, replica)
            stack.use(await startRedis('--replicaof', '127.0.0.1', String(replica.port)))
            const publish = (channel: string, message: object) => replica.publish(channel, message)
            const left = BACK_MS - (performance.now() - struckAt)
            await Promise.all([
              untilAllAre(nodes.all, HEALTHY, left),
              timeUntilTriggersWork(nodes.all, publish, left),
            ])
          },
        })
        master.thaw()
        expect(figures).toMatchObject(NO_FAULTS)
        expect(tries).toMatchObject({ broken: 0, refused: 0, other: 0 })
      },
      TIMEOUT_MS,
    )
})
