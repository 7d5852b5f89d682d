import { startRedis, type TestRedis } from '../../support/redis.ts'
import { atLeast, type Case, type Row, windowOf } from '../row.ts'

const USERS = 1_000
/** Messages in flight: Redis disconnects a subscriber with too much waiting output. */
const WINDOW = 1_000
/** One message of so many goes to a connected user and shows that the others before it are kept. */
const STRIDE = 50
const PER_SECOND = 'messages/s'
const PER_CPU_SECOND = 'messages per CPU-second'
const START_LIMIT_MS = 10_000

/** Waits for both sides, which subscribe in the background. */
async function heard(redis: TestRedis): Promise<void> {
  const message = { type: 'user', target: 'nobody', event: { event_type: 'bench', payload: null } }
  const limit = performance.now() + START_LIMIT_MS
  while ((await redis.publish('notification:user:nobody', message)) === 0) {
    if (performance.now() > limit) throw new Error('the server does not subscribe')
    await Bun.sleep(20)
  }
}

const messages = (name: string, isAway: boolean): Case => ({
  name,
  control: isAway ? 'redis-away' : 'redis',
  env: { QUEUE_ENABLED: String(isAway) },
  goals: isAway ? {} : { [PER_SECOND]: atLeast(0.65), [PER_CPU_SECOND]: atLeast(0.65) },
  run: async ({ start, load }) => {
    await using redis = await startRedis()
    const server = await start({ env: { REDIS_URL: redis.url } })
    await heard(redis)
    const stride = isAway ? STRIDE : 1
    const loaded = await load(server, {
      mode: 'flow',
      clients: isAway ? 1 : USERS,
      users: USERS,
      target: 'redis',
      redis_port: redis.port,
      window: WINDOW,
      stride,
    })
    const { seconds, cpu, received, busy } = windowOf(loaded)
    return {
      [PER_SECOND]: (received * stride) / seconds,
      [PER_CPU_SECOND]: (received * stride) / cpu,
      'loader busy': busy,
    }
  },
})

export const redis: Row = {
  name: 'redis',
  cases: [
    messages('messages to 1,000 users', false),
    messages('messages to 1,000 users who are away, memory log', true),
  ],
}
