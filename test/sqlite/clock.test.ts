import { describe, expect, test } from 'bun:test'
import { userTopic } from '../../src/notification/topic.ts'
import { resumeClock } from '../../src/store/sqlite/resume-clock.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite.ts'
import type { Draft } from '../../src/store/store.ts'
import { LIMITS, noting } from '../contract/store.contract.ts'
import { startTestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { type StorePlace, storePlace } from '../support/store-file.ts'
import { eventually, send, socketOf } from '../support/visit.ts'

const HOUR = 3_600_000
const NOW = 1_700_000_000_000
const ANN = userTopic('acme', 'ann')

describe('when the store opens, a clock', () => {
  const past = { jumped: 0, seenAt: NOW, ahead: NOW - 50_000 }
  const on = (wall: number, uptime: number | undefined) => ({ wall, uptime })

  test.each([
    ['has gone on for a day', past, on(NOW + 24 * HOUR, 50_000 + 24 * HOUR), 0],
    ['has drifted by two seconds in a day', past, on(NOW + 24 * HOUR + 2_000, 50_000 + 24 * HOUR), 0],
    ['has gone on for an hour after jumps', { ...past, jumped: 500 }, on(NOW + 500 + HOUR, 50_500 + HOUR), 0],
    ['is a moment behind after a restart of the machine', { ...past, ahead: undefined }, on(NOW - 900, 1), 0],
    ['belongs to a new file', { jumped: 0, seenAt: 0, ahead: undefined }, on(NOW, 1), 0],
  ])('that %s counts as no jump and gives no warning', (_, before, present, jump) => {
    expect(resumeClock(before, present)).toEqual({ jumped: before.jumped + jump })
  })

  test.each([
    ['was set forward by an hour', on(NOW + HOUR + 9_000, 59_000), HOUR, /set forward by 3600 s/],
    ['was set back by an hour', on(NOW - HOUR + 9_000, 59_000), -HOUR, /set back by 3600 s/],
  ])('that %s while the machine ran does not age entries', (_, present, jump, warning) => {
    expect(resumeClock(past, present)).toEqual({ jumped: jump, warning: expect.stringMatching(warning) })
  })

  test('that is behind after a restart of the machine continues from the last write', () => {
    expect(resumeClock({ ...past, ahead: undefined }, on(NOW - HOUR, 1))).toEqual({
      jumped: -HOUR,
      warning: expect.stringMatching(/3600 s behind the last write/),
    })
  })

  test('that is far ahead after a restart of the machine counts as a pause, with a warning', () => {
    expect(resumeClock({ ...past, ahead: undefined }, on(NOW + 2 * HOUR, 1))).toEqual({
      jumped: 0,
      warning: expect.stringMatching(/7200 s ahead of the last write/),
    })
  })
})

/** The clocks of a machine: an operator can set the wall clock, and both continue. */
function machine() {
  const clocks = { wall: NOW, uptime: 50_000 }
  return {
    clocks,
    pass: (ms: number) => {
      clocks.wall += ms
      clocks.uptime += ms
    },
    clock: { now: () => clocks.wall, monotonic: () => clocks.uptime, uptime: () => clocks.uptime },
  }
}

async function open({ path }: StorePlace, { clock }: ReturnType<typeof machine>, warnings: string[] = []) {
  const onWarning = (warning: string) => void warnings.push(warning)
  return await sqliteStore({
    path,
    sync: 'full',
    limits: LIMITS,
    clock,
    observer: noting(),
    noteMs: 0,
    onWarning,
  })
}

const draft = (id: string, expiresAt?: number): Draft => ({
  owner: ANN,
  id,
  body: '{',
  eventType: 'e',
  occurredAt: NOW,
  priority: 'Normal',
  ...(expiresAt !== undefined && { expiresAt }),
})

const ALL = { entries: 10, bytes: 1_000 }

test('no entry ends when the clock is set while the store is closed, and times follow the wall clock', async () => {
  await using place = await storePlace()
  const here = machine()
  {
    await using store = await open(place, here)
    await store.log.append([draft('a'), draft('short', NOW + 30_000)])
    await store.revocations.revoke(ANN, NOW, NOW + HOUR)
  }
  here.pass(5_000)
  here.clocks.wall += 24 * HOUR
  const warnings: string[] = []
  {
    await using store = await open(place, here, warnings)
    expect((await store.log.read(ANN, 0, ALL)).entries.map(({ seq }) => seq)).toEqual([1, 2])
    await store.log.append([draft('b', here.clocks.wall + 10_000)])
    expect(await store.log.report('acme', 'b', { limit: 1 })).toMatchObject({
      expiresAt: here.clocks.wall + 10_000,
      recipients: [{ at: here.clocks.wall }],
    })
    expect(await store.log.report('acme', 'short', { limit: 1 })).toMatchObject({ expiresAt: NOW + 30_000 })
    expect(await store.revocations.before(ANN)).toBe(NOW)
    here.pass(26_000)
    expect((await store.log.read(ANN, 0, ALL)).entries.map(({ seq }) => seq)).toEqual([1])
  }
  // The store still knows the jump.
  await using store = await open(place, here, warnings)
  expect((await store.log.read(ANN, 0, ALL)).entries.map(({ seq }) => seq)).toEqual([1])
  here.pass(LIMITS.retentionMs)
  expect((await store.log.read(ANN, 0, ALL)).entries).toEqual([])
  expect(warnings).toEqual([expect.stringContaining('set forward by 86400 s')])
})

test('small steps of a time service keep the order and count as no jumps', async () => {
  await using place = await storePlace()
  const here = machine()
  const warnings: string[] = []
  const cursors: number[] = []
  for (let n = 0; n < 3; n++) {
    await using store = await open(place, here, warnings)
    for (let step = 0; step < 3; step++) {
      here.pass(100)
      here.clocks.wall -= 300
      const [appended] = await store.log.append([draft(`${n}-${step}`)])
      cursors.push(appended?.cursor.seq ?? 0)
    }
  }
  expect([cursors, warnings]).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9], []])
})

for (const seconds of [3_600, -3_600])
  test(`no entry ends when the clock is set by ${seconds} s under a running service, even after a restart`, async () => {
    await using place = await storePlace()
    const env = {
      STORE_URL: place.url,
      QUEUE_ENABLED: 'true',
      QUEUE_MESSAGE_TTL_SECONDS: '600',
      QUEUE_CLEANUP_INTERVAL_SECONDS: '1',
    }
    const clock = createTestClock()
    const users = ['u1', 'u2', 'u3', 'u4', 'u5']
    {
      await using app = await startTestApp(env, { clock })
      for (const user of users) await send(app, user, 'lasts')
      clock.setAhead(seconds)
      await eventually(() => app.lines.some(({ event }) => event === 'clock.jumped'))
      await send(app, 'u1', 'after', { ttl: 300 })
    }
    await using app = await startTestApp(env, { clock })
    using client = await socketOf(app, 'u1')
    expect((await client.take(2)).map(({ payload }) => payload)).toEqual(['lasts', 'after'])
    for (const user of users) {
      const { json } = await app.get(`/api/v1/users/${user}/notifications`)
      expect(json.notifications[0].payload).toBe('lasts')
    }
  })
