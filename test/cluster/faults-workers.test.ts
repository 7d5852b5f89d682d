import { expect, test } from 'bun:test'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { startWorkers } from '../support/workers.ts'
import { NO_FAULTS } from './load.ts'
import { playUnderLoad, seedsOf } from './under-load.ts'

const WORKERS = 3
const ENV = {
  WORKERS: String(WORKERS),
  STORE_URL: 'redis:',
  QUEUE_ENABLED: 'true',
  QUEUE_MAX_SIZE_PER_USER: '100000',
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
}

test.each(seedsOf(1))(
  'one of three workers is killed with -9 under 200 sends a second: nothing is lost, repeated or reordered (FAULT_SEED=%d)',
  async seed => {
    await using redis = await startRedis()
    await using service = await startWorkers(redis.url, ENV)
    const { figures, tries } = await playUnderLoad(
      { all: [service] },
      {
        name: `kill -9 of a worker ${seed}`,
        random: createRandom(seed),
        disturb: async () => {
          process.kill(service.pidOf(1 + (seed % WORKERS)), 'SIGKILL')
          await service.untilLines('bus.connected', WORKERS + 1)
        },
      },
    )
    expect(figures).toMatchObject(NO_FAULTS)
    expect(tries).toMatchObject({ refused: 0, other: 0 })
  },
  60_000,
)
