import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import type { Store } from '../../src/store/store.ts'
import { slowStore } from '../chaos/hopping.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { startHearing, subscribed } from '../support/trigger.ts'
import { eventually, rawOf, settle } from '../support/visit.ts'

const MESSAGES = 2_000
const USERS = ['a', 'b', 'c']
const SEED = 20_261_123

interface SentMessage {
  readonly n: number
  readonly channel: string
  readonly message: object
}

/** Messages to one or several users, one or several channels, and everyone, by seed. */
function messagesOf(seed: number, count: number): readonly SentMessage[] {
  const random = createRandom(seed)
  return Array.from({ length: count }, (_, n) => {
    const target = random.pick<object>([
      { type: 'user', target: random.pick(['a', 'b', 'c']) },
      { type: 'users', target: USERS },
      { type: 'channel', target: 'x' },
      { type: 'channels', target: ['x', 'y'] },
      { type: 'broadcast' },
    ])
    const channel = random.pick(['notification:user:1', 'notification:channel:x', 'notification:broadcast'])
    return { n, channel, message: { ...target, event: { event_type: 'e', payload: n } } }
  })
}

const isFor = (user: string, { type, target }: { type?: string; target?: unknown }): boolean =>
  type === 'user' ? target === user : true

/** A store like one that waits for a disk: calls take effect at once, answers are late. */
function lateStore(store: Store): Store {
  let last: Promise<unknown> = Promise.resolve()
  const append: Store['log']['append'] = drafts => {
    const answer = awaitedLater(store.log.append(drafts))
    const late = last.then(() => Bun.sleep(1)).then(() => answer)
    last = late
    return late
  }
  return { ...store, log: { ...store.log, append } }
}

const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '10000' }

interface Run {
  readonly env: Environment
  readonly count: number
  readonly wrapStore?: (store: Store) => Store
}

/** Numbers of the messages that each client should have got, and of those it got. */
async function play({ env, count, wrapStore }: Run) {
  await using redis = await startRedis()
  await using app = await startHearing(redis, env, { ...(wrapStore && { wrapStore }) })
  const clients = await Promise.all(USERS.map(user => subscribed(app, user, 'x', 'y')))
  const sent = messagesOf(SEED, count)
  const pipeline = redis.client().pipeline()
  for (const { channel, message } of sent) pipeline.publish(channel, JSON.stringify(message))
  const published = await pipeline.exec()
  expect(published?.every(([error, heard]) => error === null && heard === 1)).toBe(true)
  const all: { readonly meant: readonly number[]; readonly got: readonly number[] }[] = []
  for (const [n, client] of clients.entries()) {
    const meant = sent.filter(({ message }) => isFor(USERS[n] ?? '', message)).map(each => each.n)
    const got = (await client.take(meant.length)).map(({ payload }) => payload)
    expect(await settle(client)).toEqual([])
    client.close()
    all.push({ meant, got })
  }
  return { sent, all }
}

const RUNS: readonly [what: string, run: Run][] = [
  ['with the log off', { env: {}, count: MESSAGES }],
  ['with the log on', { env: LOG, count: MESSAGES }],
  ['with a log that answers late', { env: LOG, count: 500, wrapStore: lateStore }],
]
for (const [what, run] of RUNS)
  test(`${run.count} messages in one pipeline arrive in order, each once, ${what} (seed ${SEED})`, async () => {
    for (const { meant, got } of (await play(run)).all) expect(got).toEqual(meant)
  }, 30_000)

test(`messages to users and messages to crowds each arrive in order, even if the log answers out of order (seed ${SEED})`, async () => {
  const { sent, all } = await play({ env: LOG, count: 300, wrapStore: slowStore(createRandom(SEED)) })
  const isForUsers = (n: number) => String(Reflect.get(sent[n]?.message ?? {}, 'type')).startsWith('user')
  for (const { meant, got } of all) {
    expect(got.filter(isForUsers)).toEqual(meant.filter(isForUsers))
    expect(got.filter(n => !isForUsers(n))).toEqual(meant.filter(n => !isForUsers(n)))
  }
}, 30_000)

describe('A client that stops reading', () => {
  test('delays neither later messages nor other clients', async () => {
    await using redis = await startRedis()
    await using app = await startHearing(redis, { SEND_BUFFER_BYTES: '67108864' })
    using stuck = await rawOf(app, 'stuck')
    using other = await subscribed(app, 'other')
    stuck.stall()
    const payload = 'x'.repeat(60_000)
    for (let n = 0; n < 500; n++) {
      await redis.publish('notification:user:1', {
        type: 'user',
        target: 'stuck',
        event: { event_type: 'e', payload },
      })
      if (n % 50 === 0)
        await redis.publish('notification:user:1', {
          type: 'user',
          target: 'other',
          event: { event_type: 'e', payload: n },
        })
    }
    const elapsed = startStopwatch()
    const got = (await other.take(10)).map(message => message.payload)
    expect(got).toEqual([0, 50, 100, 150, 200, 250, 300, 350, 400, 450])
    await eventually(() => app.app.stats.redisMessagesReceived === 510)
    expect(elapsed()).toBeLessThan(5_000)
    expect(Object.values(app.app.stats.redisMessagesRejected).every(count => count === 0)).toBe(true)
  })
})
