import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { logOf, startStored, trySend, untilStoreIs } from '../support/stored.ts'
import { eventually, socketOf } from '../support/visit.ts'

/** A killed Redis loses nothing then; one that syncs may hold back writes meanwhile. */
const UNSYNCED = ['--appendonly', 'yes', '--appendfsync', 'no']

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

async function sayAll(app: TestApp, from: number, to: number): Promise<void> {
  for (const n of numbers(from, to)) expect((await trySend(app, ['u'], n)).status).toBe(200)
}

async function takeThrough(client: SocketClient, last: number): Promise<Message[]> {
  const messages: Message[] = []
  while (messages.at(-1)?.payload !== last) messages.push(await client.next())
  return messages
}

const payloads = (messages: readonly Message[]): number[] => messages.map(({ payload }) => payload)
const epochOf = ({ cursor }: Message): string => cursor.split(':')[0]
const seqsOf = (messages: readonly Message[]): number[] =>
  messages.map(({ cursor }) => Number(cursor.split(':')[1]))

/** Kills Redis with SIGKILL and restarts it with the data on its disk. */
async function restart(app: TestApp, redis: TestRedis): Promise<void> {
  await redis.kill()
  await untilStoreIs(app, 'unavailable')
  await redis.restart()
  await untilStoreIs(app, 'healthy')
}

describe.concurrent('A log in Redis', () => {
  test('that returns as an older copy and then grows past its former head hides no entry from a client', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    using stays = await socketOf(app, 'u', { cursor: '' })
    await stays.nextOf('connected')
    await sayAll(app, 1, 5)
    await redis.client().save()
    await sayAll(app, 6, 10)
    const before = await takeThrough(stays, 10)
    const epoch = epochOf(before[0])
    await restart(app, redis)
    // Appends more than was lost, so that every earlier seq exists again.
    await sayAll(app, 11, 20)
    const after = await takeThrough(stays, 20)
    expect([payloads(after), seqsOf(after)]).toEqual([numbers(11, 20), numbers(6, 15)])
    expect(epochOf(after[0])).not.toBe(epoch)
    for (const [seen, start, rest] of [
      [8, 5, numbers(11, 20)],
      [10, 5, numbers(11, 20)],
      [3, 3, [4, 5, ...numbers(11, 20)]],
    ] as const) {
      using returns = await socketOf(app, 'u', { cursor: `${epoch}:${seen}` })
      const connected = await returns.nextOf('connected')
      expect(connected).toMatchObject({
        recovered: false,
        reason: 'epoch_changed',
        cursor: `${epochOf(after[0])}:${start}`,
        replayed: rest.length,
      })
      expect(payloads(await takeThrough(returns, 20))).toEqual([...rest])
    }
    expect(await logOf(app, 'u')).toEqual([...numbers(1, 5), ...numbers(11, 20)])
  }, 30_000)

  test('has a new epoch after each restart of a Redis that may have lost data, and repeats nothing', async () => {
    await using redis = await startRedis(...UNSYNCED)
    await using app = await startStored(redis)
    using stays = await socketOf(app, 'u', { cursor: '' })
    await stays.nextOf('connected')
    const heard: Message[] = []
    for (const [from, to] of [
      [1, 3],
      [4, 6],
      [7, 9],
    ] as const) {
      await sayAll(app, from, to)
      heard.push(...(await takeThrough(stays, to)))
      if (to < 9) await restart(app, redis)
    }
    expect(payloads(heard)).toEqual(numbers(1, 9))
    expect(new Set(heard.map(epochOf)).size).toBe(3)
    // A cursor of the first of three lives resumes from the base of all three.
    using returns = await socketOf(app, 'u', { cursor: heard[1].cursor })
    expect(await returns.nextOf('connected')).toMatchObject({ recovered: false, reason: 'epoch_changed' })
    expect(payloads(await takeThrough(returns, 9))).toEqual(numbers(3, 9))
  }, 30_000)

  test('that was flushed restarts at seq 1 with a new epoch', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    using stays = await socketOf(app, 'u', { cursor: '' })
    await stays.nextOf('connected')
    await sayAll(app, 1, 3)
    const before = await takeThrough(stays, 3)
    await redis.client().flushall()
    await eventually(() =>
      app.lines.some(({ event, reason }) => event === 'store.away' && reason !== undefined),
    )
    await untilStoreIs(app, 'healthy')
    await sayAll(app, 4, 8)
    const after = await takeThrough(stays, 8)
    expect([payloads(after), seqsOf(after)]).toEqual([numbers(4, 8), numbers(1, 5)])
    using returns = await socketOf(app, 'u', { cursor: before[1].cursor })
    expect(await returns.nextOf('connected')).toMatchObject({ recovered: false, reason: 'epoch_changed' })
    expect(payloads(await takeThrough(returns, 8))).toEqual(numbers(4, 8))
  }, 30_000)

  test('that was flushed hides no send from a client, also one that arrives before the service notices', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    using stays = await socketOf(app, 'u', { cursor: '' })
    await stays.nextOf('connected')
    await sayAll(app, 1, 5)
    const before = await takeThrough(stays, 5)
    await redis.client().flushall()
    const accepted: number[] = []
    for (let n = 6; accepted.length < 10; n++) {
      const { status } = await trySend(app, ['u'], n)
      expect([200, 503]).toContain(status)
      if (status === 200) accepted.push(n)
      else await Bun.sleep(10)
    }
    expect(payloads(await takeThrough(stays, accepted.at(-1) ?? 0))).toEqual(accepted)
    using returns = await socketOf(app, 'u', { cursor: before[4].cursor })
    await returns.nextOf('connected')
    expect(payloads(await takeThrough(returns, accepted.at(-1) ?? 0))).toEqual(accepted)
  }, 30_000)

  test('that has moved to a new life still waits for acknowledgements', async () => {
    await using redis = await startRedis(...UNSYNCED)
    await using app = await startStored(redis, { ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '2' })
    using stays = await socketOf(app, 'u', { cursor: '' })
    await stays.nextOf('connected')
    await sayAll(app, 1, 1)
    const [first] = await takeThrough(stays, 1)
    const isReceived = async () =>
      (await app.get(`/api/v1/notifications/${first.id}`)).json.recipients[0].state === 'received'
    await eventually(isReceived)
    await restart(app, redis)
    await sayAll(app, 2, 2)
    await takeThrough(stays, 2)
    const again = await stays.inbox.until(({ id, redelivered }) => id === first.id && redelivered >= 1)
    expect(again.cursor.split(':')[1]).toBe('1')
    stays.send({ type: 'Ack', payload: { notification_id: first.id } })
    expect(await stays.nextOf('acked')).toMatchObject({ notification_id: first.id })
  }, 30_000)
})
