import { describe, expect, test } from 'bun:test'
import { HEALTHY, startNodes, UNAVAILABLE, untilAllAre } from '../support/node-processes.ts'
import { startProxy } from '../support/proxy.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { NO_FAULTS } from './load.ts'
import { playUnderLoad, seedsOf } from './under-load.ts'

const TIMEOUT_MS = 60_000
const NOTICED_MS = 3_300
const BACK_MS = 15_000
const CUT_MS = 1_500
const SLOW_MS = 300
const SLOW_FOR_MS = 3_000

/** Two nodes on one Redis; the second one reaches it through a proxy. */
async function startBehindProxy(stack: AsyncDisposableStack) {
  const redis = stack.use(await startRedis())
  const line = stack.use(await startProxy(redis.port))
  const addresses = [redis.url, `redis://127.0.0.1:${line.port}`]
  const nodes = stack.use(await startNodes(addresses, { WEBSOCKET_HEARTBEAT_INTERVAL: '1' }))
  return { line, nodes }
}

describe.concurrent('Two nodes under load lose, repeat and reorder nothing', () => {
  for (const [how, fault] of [
    ['is cut off from Redis', 'freeze'],
    ['reaches Redis, but gets no answers,', 'mute'],
  ] as const)
    test.each(seedsOf(1))(
      `when one ${how} and keeps its clients: it says so, refuses sends, and catches up (FAULT_SEED=%d)`,
      async seed => {
        await using stack = new AsyncDisposableStack()
        const { line, nodes } = await startBehindProxy(stack)
        const [, cutOff] = nodes.all
        if (cutOff === undefined) throw new Error('there are two')
        const { figures, tries } = await playUnderLoad(nodes, {
          name: `one ${how} ${seed}`.replaceAll(',', ''),
          random: createRandom(seed),
          disturb: async ({ clients }) => {
            const own = clients.filter(({ node }) => node === cutOff)
            const visits = () => own.map(client => client.visits.length)
            const before = visits()
            expect(before.length).toBeGreaterThan(0)
            line[fault]()
            await untilAllAre([cutOff], UNAVAILABLE, NOTICED_MS)
            expect((await cutOff.send('user', 1)).status).toBe(503)
            await Bun.sleep(CUT_MS)
            line.thaw()
            await untilAllAre([cutOff], HEALTHY, BACK_MS)
            expect(visits()).toEqual(before)
          },
        })
        expect(figures).toMatchObject(NO_FAULTS)
        expect(tries).toMatchObject({ broken: 0, refused: 0, other: 0 })
      },
      TIMEOUT_MS,
    )

  for (const direction of ['requests', 'answers'] as const)
    test.each(seedsOf(2))(
      `when the ${direction} between one of them and Redis take 300 ms longer (FAULT_SEED=%d)`,
      async seed => {
        await using stack = new AsyncDisposableStack()
        const { line, nodes } = await startBehindProxy(stack)
        const { figures, tries } = await playUnderLoad(nodes, {
          name: `slow ${direction} ${seed}`,
          random: createRandom(seed),
          disturb: async () => {
            line.delay(SLOW_MS, direction)
            await Bun.sleep(SLOW_FOR_MS)
            line.delay(0, direction)
          },
        })
        expect(figures).toMatchObject(NO_FAULTS)
        expect(tries).toMatchObject({ broken: 0, refused: 0, other: 0 })
      },
      TIMEOUT_MS,
    )
})
