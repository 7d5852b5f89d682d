import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type NodeProcesses, startNodes } from '../support/node-processes.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { NO_FAULTS } from './load.ts'
import { type Fault, playUnderLoad, seedsOf } from './under-load.ts'

const TIMEOUT_MS = 60_000
/** FROZEN_MS=20000 freezes a node for as long as operators may see it. */
const FROZEN_MS = Number(process.env['FROZEN_MS'] ?? 5_000)
/** A heartbeat each second, so that clients of a frozen node leave it within seconds. */
const ENV = { WEBSOCKET_HEARTBEAT_INTERVAL: '1', DRAIN_SECONDS: '2' }
const SILENT_MS = 3_000
/** A sender leaves a frozen node after so long. */
const ANSWER_MS = 2_000
/** Below the 500 ms for which a node waits for the answer of another one. */
const QUICK_MS = 400
/** Until then the others may wait for a frozen node. */
const NOTICED_MS = 2_000

describe('Three nodes under 200 sends a second lose, repeat and reorder nothing', () => {
  const started = new AsyncDisposableStack()
  let nodes: NodeProcesses

  beforeAll(async () => {
    const redis = started.use(await startRedis())
    nodes = started.use(await startNodes([redis.url, redis.url, redis.url], ENV))
  }, TIMEOUT_MS)
  afterAll(() => started.disposeAsync())

  /** Counts while the fault happens to the cluster, which must work afterwards. */
  const play = async (name: string, seed: number, fault: Fault) => {
    const random = createRandom(seed)
    const outcome = await playUnderLoad(nodes, {
      name: `${name} ${seed}`,
      random,
      silentMs: SILENT_MS,
      ...fault,
    })
    expect(outcome.figures).toMatchObject(NO_FAULTS)
    return outcome
  }

  test.each(seedsOf(1, 2, 3))(
    'when one is killed with -9 and another takes its place (FAULT_SEED=%d)',
    async seed => {
      const { tries } = await play('kill -9 of a node', seed, {
        disturb: async ({ clients }) => {
          const place = seed % 3
          expect(clients.some(({ node }) => node === nodes.all[place])).toBe(true)
          nodes.all[place]?.signal('SIGKILL')
          await nodes.replace(place)
        },
      })
      expect(tries).toMatchObject({ other: 0 })
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(4))(
    'when one is frozen, which soon delays no send to the others, and wakes up (FAULT_SEED=%d)',
    async seed => {
      const frozen = nodes.all[seed % 3]
      const noticed = { from: 0, to: 0 }
      const { sending } = await play('SIGSTOP of a node', seed, {
        answerMs: ANSWER_MS,
        disturb: async () => {
          frozen?.signal('SIGSTOP')
          noticed.from = performance.now() + NOTICED_MS
          await Bun.sleep(FROZEN_MS)
          noticed.to = performance.now()
          frozen?.signal('SIGCONT')
        },
      })
      const later = sending.attempts.flatMap(({ answeredAt = 0, ms = 0 }) =>
        answeredAt - ms > noticed.from && answeredAt < noticed.to ? ms : [],
      )
      const quick = later.filter(ms => ms < QUICK_MS)
      expect(later.length).toBeGreaterThan(20)
      expect(quick.length / later.length).toBeGreaterThan(0.95)
    },
    TIMEOUT_MS + FROZEN_MS,
  )

  test.each(seedsOf(5))(
    'when all are restarted one after the other; every send is accepted if the sender tries another node when one refuses or resets its connection (FAULT_SEED=%d)',
    async seed => {
      const { tries, sending } = await play('rolling restart', seed, {
        retryAfter: ['refused', 'broken'],
        disturb: async () => {
          for (const [place, node] of [...nodes.all].entries()) {
            node.signal('SIGTERM')
            expect(await node.ended).toMatchObject({ code: 0 })
            await nodes.replace(place)
          }
        },
      })
      expect(tries).toMatchObject({ inProgress: 0, other: 0 })
      expect(sending.attempts.filter(({ id }) => id === undefined)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(6))(
    'while users hop from node to node, with cursors and without (FAULT_SEED=%d)',
    async seed => {
      const random = createRandom(seed)
      const { tries } = await play('hopping', seed, {
        disturb: async ({ clients }) => {
          for (let hops = 0; hops < 200; hops++) {
            clients[random.whole(0, clients.length - 1)]?.hop()
            await Bun.sleep(random.whole(0, 20))
          }
        },
      })
      expect(tries).toMatchObject({ inProgress: 0, broken: 0, refused: 0, other: 0 })
    },
    TIMEOUT_MS,
  )
})
