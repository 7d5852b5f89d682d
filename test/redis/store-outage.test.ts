import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import type { Message } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { logOf, type SendAttempt, startStored, trySend, untilStoreIs } from '../support/stored.ts'
import { eventually, publish, socketOf, streamOf } from '../support/visit.ts'

const SEEN_MS = 3_000
const BACK_MS = 10_000
const BACK_FROM_FREEZE_MS = 15_000
const ANSWERED_MS = 1_000
/** Delay that a busy machine may add to both ends of a measurement, milliseconds. */
const SLACK_MS = 300

const EVERYTHING = ['--appendonly', 'yes', '--appendfsync', 'always']

const isNotification = ({ type }: Message): boolean => type === 'notification'
const payloads = (messages: readonly Message[]): number[] =>
  messages.filter(isNotification).map(({ payload }) => payload)

/** Sends numbers to a user connected over WebSocket and SSE, and to an absent user. */
async function startCount(app: TestApp) {
  const USERS = ['here', 'away']
  const socket = await socketOf(app, 'here', { cursor: '' })
  const stream = await streamOf(app, 'here')
  await Promise.all([socket.nextOf('connected'), stream.nextOf('connected')])
  const tried: SendAttempt[] = []
  let n = 0
  const say = async (): Promise<SendAttempt> => {
    const last = await trySend(app, USERS, n++)
    tried.push(last)
    return last
  }
  const of = (status: number) => tried.filter(each => each.status === status).map(({ payload }) => payload)
  return {
    socket,
    say,
    sayAll: async (times: number): Promise<void> => {
      for (let time = 0; time < times; time++) expect((await say()).status).toBe(200)
    },
    /** Sends one number after another while `during` runs. */
    sayOn: async <T>(during: Promise<T>): Promise<T> => {
      let isOver = false
      const ended = awaitedLater(
        during.finally(() => {
          isOver = true
        }),
      )
      while (!isOver) {
        await say()
        await Bun.sleep(20)
      }
      return ended
    },
    refused: () => tried.filter(({ status }) => status !== 200),
    accepted: () => of(200),
    /** Checks that both devices have every accepted number once and in order. A new connection gets them too. */
    check: async (): Promise<void> => {
      const last = await say()
      expect(last.status).toBe(200)
      const heard = () => [
        payloads(socket.inbox.all),
        payloads(stream.inbox.all.map(({ data }) => data ?? {})),
      ]
      await eventually(() => heard().every(all => all.includes(last.payload)))
      using late = await socketOf(app, 'away', { cursor: '' })
      await late.inbox.until(({ payload }) => payload === last.payload)
      for (const all of [...heard(), payloads(late.inbox.all)]) {
        expect(all).toEqual([...new Set(all)].sort((a, b) => a - b))
        expect(of(200).filter(each => !all.includes(each))).toEqual([])
      }
      expect(await logOf(app, 'here')).toEqual(heard()[0] ?? [])
    },
    close: () => {
      socket.close()
      stream.close()
    },
  }
}

/** Checks for 503 at once, and nothing else. */
function expectRefusals(refused: readonly SendAttempt[]): void {
  expect(refused.length).toBeGreaterThan(0)
  for (const { status, json, headers, ms } of refused) {
    expect([status, json.error.code, headers.get('retry-after')]).toEqual([503, 'STORE_UNAVAILABLE', '1'])
    expect(ms).toBeLessThan(ANSWERED_MS + SLACK_MS)
  }
}

describe.concurrent('The Redis store', () => {
  test('loses and repeats no accepted send when Redis is killed and returns with its data; callers are refused at once, sockets stay open', async () => {
    await using redis = await startRedis(...EVERYTHING)
    await using app = await startStored(redis)
    const count = await startCount(app)
    for (const downMs of [0, 1_500]) {
      await count.sayAll(10)
      const killing = redis.kill()
      await count.sayOn(killing.then(() => untilStoreIs(app, 'unavailable', SEEN_MS)))
      expect((await app.get('/health')).json).toMatchObject({ status: 'degraded', store: { kind: 'redis' } })
      await count.sayOn(Bun.sleep(downMs))
      await redis.restart()
      await count.sayOn(untilStoreIs(app, 'healthy', BACK_MS))
      await count.sayAll(10)
    }
    expectRefusals(count.refused())
    await count.check()
    // In the same life no client is told of a loss.
    const cursor = count.socket.inbox.all.findLast(isNotification)?.cursor
    using again = await socketOf(app, 'here', { cursor })
    expect(await again.nextOf('connected')).toMatchObject({ cursor, recovered: true, replayed: 0 })
    count.close()
  }, 60_000)

  test('reports a frozen Redis in health and readiness within 3 s, stores no refused send, and recovers within 15 s', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    const count = await startCount(app)
    await count.sayAll(10)
    redis.freeze()
    const seen = await count.sayOn(untilStoreIs(app, 'unavailable', SEEN_MS + SLACK_MS))
    expect(seen).toBeLessThan(SEEN_MS + SLACK_MS)
    await count.sayOn(Bun.sleep(3_000))
    expect((await app.get('/health/ready')).json.reasons).toEqual(['store'])
    const refused = count.refused()
    redis.thaw()
    expect(await untilStoreIs(app, 'healthy', BACK_FROM_FREEZE_MS)).toBeLessThan(BACK_FROM_FREEZE_MS)
    await count.sayAll(10)
    expectRefusals(refused)
    await count.check()
    const kept = await logOf(app, 'away')
    expect(refused.filter(({ payload }) => kept.includes(payload))).toEqual([])
    count.close()
  }, 60_000)

  test('has every accepted send once and in order while its connection is cut again and again', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using app = await startStored(line)
    const count = await startCount(app)
    const cutting = (async () => {
      for (let n = 0; n < 8; n++) {
        const before = count.accepted().length
        await eventually(() => count.accepted().length > before + 1)
        await Bun.sleep(25 * (n % 3))
        line.cut()
      }
    })()
    await count.sayOn(cutting)
    await untilStoreIs(app, 'healthy', BACK_MS)
    for (const { ms } of count.refused()) expect(ms).toBeLessThan(ANSWERED_MS + SLACK_MS)
    expect(count.accepted().length).toBeGreaterThan(10)
    await count.check()
    count.close()
  }, 60_000)

  test('delivers a send even if the answer from Redis is lost', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using app = await startStored(line)
    using socket = await socketOf(app, 'u')
    using stream = await streamOf(app, 'u')
    await stream.nextOf('connected')
    await trySend(app, ['u'], 1)
    expect([(await socket.next()).payload, (await stream.next()).data.payload]).toEqual([1, 1])
    line.mute()
    expectRefusals([await trySend(app, ['u'], 2)])
    expect(payloads(socket.inbox.all)).toEqual([1])
    line.cut()
    line.thaw()
    expect([(await socket.next()).payload, (await stream.next()).data.payload]).toEqual([2, 2])
    expect(await logOf(app, 'u')).toEqual([1, 2])
    expect((await trySend(app, ['u'], 3)).json).toMatchObject({ delivered_to: 2 })
  }, 30_000)

  test('stores a send with a key once, however often it is retried over a bad connection', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using app = await startStored(line)
    using socket = await socketOf(app, 'u')
    const statuses = new Set<number>()
    for (let n = 0; n < 6; n++) {
      // Redis reserves the key or appends the entry, but its answer never arrives.
      const sending = trySend(app, ['u'], n, { 'idempotency-key': `${n}` })
      if (n % 2 === 0) line.mute()
      statuses.add((await sending).status)
      line.cut()
      line.thaw()
      const completed = async () => {
        const { status } = await trySend(app, ['u'], n, { 'idempotency-key': `${n}` })
        statuses.add(status)
        return status === 200
      }
      await eventually(completed, 5_000)
    }
    expect(await logOf(app, 'u')).toEqual([0, 1, 2, 3, 4, 5])
    await socket.inbox.until(({ payload }) => payload === 5)
    expect(payloads(socket.inbox.all)).toEqual([0, 1, 2, 3, 4, 5])
    expect(statuses.has(503)).toBe(true)
  }, 60_000)

  test('accepts new connections during an outage, and greets them when Redis returns', async () => {
    await using redis = await startRedis(...EVERYTHING)
    await using app = await startStored(redis)
    await trySend(app, ['u'], 1)
    await redis.kill()
    await untilStoreIs(app, 'unavailable')
    using v1 = await socketOf(app, 'u')
    using optedIn = await socketOf(app, 'u', { cursor: '' })
    using stream = await streamOf(app, 'u')
    v1.send({ type: 'Subscribe', payload: { channels: ['c'] } })
    await v1.nextOf('subscribed')
    expect((await publish(app, 'c', 'crowd')).delivered_to).toBe(1)
    expect((await v1.next()).payload).toBe('crowd')
    expect([payloads(v1.inbox.all), optedIn.inbox.all]).toEqual([['crowd'], []] as never)
    const token = await app.token('u')
    expect((await app.get(`/api/v1/me/notifications?token=${token}`)).status).toBe(503)
    await redis.restart()
    expect((await v1.next()).payload).toBe(1)
    expect((await optedIn.take(2)).map(({ type }) => type)).toEqual(['connected', 'notification'])
    expect((await stream.take(2)).map(({ event }) => event)).toEqual(['connected', 'notification'])
  }, 30_000)
})
