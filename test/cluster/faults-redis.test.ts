import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  HEALTHY,
  type NodeProcesses,
  type NodeState,
  startNodes,
  UNAVAILABLE,
  untilAllAre,
} from '../support/node-processes.ts'
import { createRandom } from '../support/random.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { type Loss, NO_FAULTS } from './load.ts'
import { timeUntilTriggersWork } from './trigger-probe.ts'
import { type Fault, playUnderLoad, seedsOf } from './under-load.ts'

const TIMEOUT_MS = 90_000
/** An outage lasts so much longer than the nodes need to notice it. */
const LASTS_MS = 1_000
/** Longer than the 2.5 s after which an unanswered PING ends a connection. */
const PAUSE_MS = 4_000
/** Contract with operators: `/health` shows an outage within 3 s. Polling adds some. */
const NOTICED_MS = 3_300
const BACK_MS = 10_000
const BACK_AFTER_FREEZE_MS = 15_000

/** Two nodes on one Redis of their own, for all tests of a block. */
function twoNodes(...args: readonly string[]) {
  const started = new AsyncDisposableStack()
  let redis: TestRedis
  let nodes: NodeProcesses

  beforeAll(async () => {
    redis = started.use(await startRedis(...args))
    nodes = started.use(await startNodes([redis.url, redis.url], { REDIS_URL: redis.url }))
  }, TIMEOUT_MS)
  afterAll(() => started.disposeAsync())

  const play = async (name: string, seed: number, fault: Fault) => {
    const random = createRandom(seed)
    const outcome = await playUnderLoad(nodes, { name: `${name} ${seed}`, random, rate: 100, ...fault })
    expect(outcome.tries).toMatchObject({ broken: 0, refused: 0, other: 0 })
    return outcome.figures
  }

  return {
    play,
    redis: () => redis,
    until: (state: NodeState, withinMs: number) => untilAllAre(nodes.all, state, withinMs),
    untilTriggersWork: (withinMs: number) =>
      timeUntilTriggersWork(nodes.all, (...message) => redis.publish(...message), withinMs),
  }
}

describe('Two nodes under load lose, repeat and reorder nothing', () => {
  const { play, redis, until, untilTriggersWork } = twoNodes('--appendonly', 'yes', '--appendfsync', 'always')

  test.each(seedsOf(1))(
    'when Redis is killed and restarted with its AOF; all works again within 10 s (FAULT_SEED=%d)',
    async seed => {
      const figures = await play('Redis restarted', seed, {
        disturb: async () => {
          await redis().kill()
          await until(UNAVAILABLE, NOTICED_MS)
          await Bun.sleep(LASTS_MS)
          await redis().restart()
          await Promise.all([until(HEALTHY, BACK_MS), untilTriggersWork(BACK_MS)])
        },
      })
      expect(figures).toMatchObject(NO_FAULTS)
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(2))(
    'when Redis is frozen; all works again within 15 s (FAULT_SEED=%d)',
    async seed => {
      const figures = await play('Redis frozen', seed, {
        disturb: async () => {
          redis().freeze()
          await until(UNAVAILABLE, NOTICED_MS)
          await Bun.sleep(LASTS_MS)
          redis().thaw()
          await Promise.all([until(HEALTHY, BACK_AFTER_FREEZE_MS), untilTriggersWork(BACK_AFTER_FREEZE_MS)])
        },
      })
      expect(figures).toMatchObject(NO_FAULTS)
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(3))(
    'when CLIENT PAUSE stops Redis for 4 s (FAULT_SEED=%d)',
    async seed => {
      const figures = await play('CLIENT PAUSE', seed, {
        disturb: async () => {
          await redis().client().call('CLIENT', 'PAUSE', String(PAUSE_MS), 'ALL')
          await until(UNAVAILABLE, NOTICED_MS)
          await Promise.all([until(HEALTHY, PAUSE_MS + BACK_MS), untilTriggersWork(PAUSE_MS + BACK_MS)])
        },
      })
      expect(figures).toMatchObject(NO_FAULTS)
    },
    TIMEOUT_MS,
  )
})

describe('Two nodes under load lose nothing but what Redis lost, repeat and reorder nothing', () => {
  const { play, redis, until, untilTriggersWork } = twoNodes()

  test.each(seedsOf(4))(
    'when Redis returns with an older copy of its data (FAULT_SEED=%d)',
    async seed => {
      const loss: Loss = { from: 0, to: 0 }
      const figures = await play('older copy', seed, {
        loss,
        // A Redis that loses data may lose a key and keep what clients were sent.
        retryAfter: [],
        disturb: async () => {
          loss.from = performance.now()
          await redis().client().save()
          await Bun.sleep(LASTS_MS)
          await redis().kill()
          loss.to = performance.now()
          await until(UNAVAILABLE, NOTICED_MS)
          await redis().restart()
          await Promise.all([until(HEALTHY, BACK_MS), untilTriggersWork(BACK_MS)])
        },
      })
      expect(figures).toMatchObject(NO_FAULTS)
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(5))(
    'when FLUSHALL empties Redis (FAULT_SEED=%d)',
    async seed => {
      const loss: Loss = { from: 0, to: 0 }
      const figures = await play('FLUSHALL', seed, {
        loss,
        retryAfter: [],
        disturb: async () => {
          await redis().client().flushall()
          loss.to = performance.now()
          await until(HEALTHY, BACK_MS)
        },
      })
      expect(figures).toMatchObject(NO_FAULTS)
    },
    TIMEOUT_MS,
  )
})
