import { expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { startTestApp } from '../support/app.ts'
import { startTrio } from '../support/cluster.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { createOperations } from './operations.ts'
import { Replica } from './replica.ts'
import { seedsOf } from './under-load.ts'

const OPERATIONS = 120
const TIMEOUT_MS = 120_000
/** Background writes of a node may follow an answer, and so may replays. */
const SETTLE_MS = 3_000
const PAUSE_MS = 50

const LIMITS = {
  TENANT_ENABLED: 'true',
  TENANT_DEFAULT_MAX_CONNECTIONS: '0',
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: '3',
  WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '4',
  QUEUE_MAX_SIZE_PER_USER: '6',
}
const MODES: Readonly<Record<string, Environment>> = {
  'acknowledgement on': { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' },
  'the log on': { QUEUE_ENABLED: 'true' },
  'the log off': {},
}

/** Both results, as soon as they are equal, or after SETTLE_MS. */
async function settled<T>(read: () => Promise<readonly [T, T]>): Promise<readonly [T, T]> {
  const giveUpAt = performance.now() + SETTLE_MS
  for (;;) {
    const [one, three] = await read()
    if (Bun.deepEquals(one, three) || performance.now() > giveUpAt) return [one, three]
    await Bun.sleep(PAUSE_MS)
  }
}

for (const [mode, env] of Object.entries(MODES))
  for (const seed of seedsOf(2, 5))
    test(
      `one node and three answer alike, with ${mode} (seed ${seed})`,
      async () => {
        await using redis = await startRedis()
        await using alone = await startTestApp({
          NODE_ID: 'n1',
          STORE_URL: redis.url,
          BUS_URL: redis.url,
          ...LIMITS,
          ...env,
        })
        await using trio = await startTrio({ ...LIMITS, ...env })
        const [one, three] = [new Replica([alone]), new Replica(trio.nodes)]
        const both = async <T>(ask: (replica: Replica) => Promise<T>) =>
          [await ask(one), await ask(three)] as const
        try {
          for (const [n, operation] of createOperations(createRandom(seed), OPERATIONS).entries()) {
            const isRead =
              operation.kind === 'status' || (operation.kind === 'call' && operation.method === 'GET')
            const ask = () => both(replica => replica.run(operation))
            const [answer, ofThree] = await (isRead ? settled(ask) : ask())
            expect([n, operation, ofThree]).toEqual([n, operation, answer])
            const [read, readOfThree] = await settled(() => both(replica => replica.read()))
            expect([n, operation, readOfThree]).toEqual([n, operation, read])
          }
        } finally {
          one.close()
          three.close()
        }
      },
      TIMEOUT_MS,
    )
