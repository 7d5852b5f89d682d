import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Outcome } from '../../src/dispatch/dispatcher.ts'
import { notificationOf } from '../../src/notification/content.ts'
import type { Envelope, Target } from '../../src/notification/target.ts'
import { createIntake, type Fill } from '../../src/trigger/intake.ts'
import { awaitedLater } from '../support/awaited-later.ts'

type Kind = 'user' | 'users' | 'channel'

const TARGETS: Readonly<Record<Kind, Target>> = {
  user: { type: 'user', user: 'u' },
  users: { type: 'users', users: Array.from({ length: 300 }, (_, n) => `u${n}`) },
  channel: { type: 'channel', channel: 'c' },
}

function envelopeOf(kind: Kind, name: string, payload = 'null'): Envelope {
  const content = { event_type: name, payload: null }
  return {
    tenant: 'default',
    target: TARGETS[kind],
    notification: notificationOf(content, payload, { id: crypto.randomUUID(), source: 'redis:x', now: 0 }),
  }
}

const DONE: Outcome = { notificationId: '', deliveredTo: 0, failed: 0, queued: 0, status: 'no_recipient' }

/** Intake whose dispatches the test ends. */
function create(maxBytes = 1_000_000) {
  const open: { readonly name: string; end(error?: Error): void }[] = []
  const begun: string[] = []
  const faults: unknown[] = []
  const intake = createIntake({
    dispatch: ({ notification: { eventType: name } }) => {
      const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
      begun.push(name)
      open.push({ name, end: error => (error === undefined ? resolve(DONE) : reject(error)) })
      return promise
    },
    maxBytes,
    onFault: error => faults.push(error),
  })
  const take = (kind: Kind, name: string, payload?: string) => intake.take(envelopeOf(kind, name, payload))
  const end = async (name: string, error?: Error) => {
    const at = open.findIndex(each => each.name === name)
    open.splice(at, 1)[0]?.end(error)
    await new Promise(setImmediate)
  }
  return { intake, take, begun, open, end, faults }
}

test('a message for users begins at once, without waiting for earlier ones', () => {
  const { take, begun } = create()
  for (const name of ['1', '2', '3']) take('user', name)
  expect(begun).toEqual(['1', '2', '3'])
})

test('a message for many users waits for all earlier appends, and no message overtakes it', async () => {
  const { take, begun, end } = create()
  take('user', '1')
  take('users', '2')
  take('user', '3')
  take('user', '4')
  take('users', '5')
  take('channel', '6')
  expect(begun).toEqual(['1'])
  for (const [ended, expected] of [
    ['1', ['1', '2']],
    ['2', ['1', '2', '3', '4']],
    ['4', ['1', '2', '3', '4']],
    ['3', ['1', '2', '3', '4', '5']],
    ['5', ['1', '2', '3', '4', '5', '6']],
  ] as const) {
    await end(ended)
    expect(begun).toEqual([...expected])
  }
})

test('a message for many users counts by its recipients', () => {
  const { take } = create(20_000)
  expect(take('users', '1')).toBe(false)
  expect(take('user', '2')).toBe(true)
})

test('a crowd message waits for all earlier appends, and later messages wait behind it', async () => {
  const { take, begun, end } = create()
  take('user', '1')
  take('user', '2')
  take('channel', '3')
  take('channel', '4')
  take('user', '5')
  take('channel', '6')
  await end('2')
  expect(begun).toEqual(['1', '2'])
  await end('1')
  expect(begun).toEqual(['1', '2', '3', '4', '5'])
  await end('3')
  await end('5')
  expect(begun).toEqual(['1', '2', '3', '4', '5', '6'])
})

test('a failure is reported and delays no message', async () => {
  const { intake, take, begun, end, faults } = create()
  take('user', '1')
  take('channel', '2')
  await end('1', new Error('away'))
  expect([begun, faults]).toEqual([['1', '2'], [new Error('away')]])
  await end('2')
  await intake.settled()
})

test('messages beyond the bound are rejected until one ends', async () => {
  const { take, end } = create(4_000)
  expect(take('user', '1', 'x'.repeat(1_000))).toBe(true)
  expect(take('channel', '2', 'x'.repeat(900))).toBe(true)
  expect(take('user', '3')).toBe(false)
  await end('1')
  expect(take('user', '4')).toBe(true)
})

test('it is settled when no message is in progress', async () => {
  const { intake, take, end } = create()
  await intake.settled()
  take('user', '1')
  take('channel', '2')
  let settled = false
  const waiting = awaitedLater(
    intake.settled().then(() => {
      settled = true
    }),
  )
  await end('1')
  expect(settled).toBe(false)
  await end('2')
  await waiting
})

test('a message whose template is still loading keeps its place, and later ones wait', async () => {
  const { intake, take, begun, end } = create()
  take('user', '1')
  const second = intake.reserve(10)
  const third = intake.reserve(10)
  take('user', '4')
  take('channel', '5')
  expect(third?.(envelopeOf('user', '3'))).toBe(true)
  expect(begun).toEqual(['1'])
  expect(second?.(envelopeOf('channel', '2'))).toBe(true)
  expect(begun).toEqual(['1'])
  await end('1')
  expect(begun).toEqual(['1', '2', '3', '4'])
  await end('3')
  await end('4')
  expect(begun).toEqual(['1', '2', '3', '4', '5'])
})

test('a reservation filled with nothing releases its place, and only the first fill counts', async () => {
  const { intake, take, begun, end } = create()
  const first = intake.reserve(10)
  const second = intake.reserve(10)
  take('user', '3')
  expect(first?.(undefined)).toBe(true)
  expect(begun).toEqual([])
  expect(second?.(undefined)).toBe(true)
  expect(begun).toEqual(['3'])
  expect(first?.(envelopeOf('user', 'too late'))).toBe(false)
  expect(second?.(undefined)).toBe(false)
  await end('3')
  await intake.settled()
  expect(begun).toEqual(['3'])
})

test('it is not settled while a reservation is open', async () => {
  const { intake } = create()
  const fill = intake.reserve(10)
  let settled = false
  const waiting = awaitedLater(
    intake.settled().then(() => {
      settled = true
    }),
  )
  await new Promise(setImmediate)
  expect(settled).toBe(false)
  fill?.(undefined)
  await waiting
})

test('a reservation counts its announced bytes, then its real bytes', async () => {
  const { intake, take, begun, end } = create(4_000)
  const small = intake.reserve(1_000)
  const large = intake.reserve(0)
  expect(intake.reserve(100)).toBeUndefined()
  expect(take('user', 'none')).toBe(false)
  expect(large?.(envelopeOf('user', 'large', 'x'.repeat(1_100)))).toBe(false)
  expect(take('user', '2')).toBe(true)
  expect(small?.(envelopeOf('user', '1', 'x'.repeat(1_900)))).toBe(true)
  expect(begun).toEqual(['1', '2'])
  expect(take('user', 'none')).toBe(false)
  await end('1')
  await end('2')
  await intake.settled()
  expect(take('user', '3', 'x'.repeat(2_900))).toBe(true)
})

test('messages begin in order for any order of ends, and no bytes stay counted', async () => {
  const kinds = fc.array(
    fc.record({
      kind: fc.constantFrom<Kind>('user', 'channel'),
      isLate: fc.boolean(),
      isNothing: fc.boolean(),
    }),
    { minLength: 1, maxLength: 30 },
  )
  await fc.assert(
    fc.asyncProperty(kinds, fc.infiniteStream(fc.nat()), async (taken, choices) => {
      const { intake, take, begun, open, end } = create()
      const late: { readonly n: number; readonly fill: Fill | undefined }[] = []
      for (const [n, { kind, isLate }] of taken.entries())
        if (isLate) late.push({ n, fill: intake.reserve(5) })
        else take(kind, String(n))
      for (const choice of choices) {
        const kindsOpen = open.map(({ name }) => taken[Number(name)]?.kind)
        const last = taken[Number(begun.at(-1))]
        // A crowd message starts only after all earlier user messages have ended.
        if (last?.kind === 'channel') expect(kindsOpen).not.toContain('user')
        const [chosen] = open.splice(choice % (open.length + 1), 1)
        const [found] = chosen === undefined ? late.splice(choice % (late.length || 1), 1) : []
        if (chosen !== undefined) open.push(chosen)
        const { kind = 'user', isNothing } = taken[found?.n ?? 0] ?? {}
        if (chosen !== undefined) await end(chosen.name)
        else if (found !== undefined) found.fill?.(isNothing ? undefined : envelopeOf(kind, String(found.n)))
        else if (open.length === 0) break
      }
      const meant = taken.flatMap(({ isLate, isNothing }, n) => (isLate && isNothing ? [] : [String(n)]))
      expect(begun).toEqual(meant)
      await intake.settled()
    }),
    { numRuns: 200 },
  )
})

test('messages whose dispatch ends at once go in order, however many wait, and a failure stops none', async () => {
  const MANY = 50_000
  const begun: string[] = []
  const faults: string[] = []
  const intake = createIntake({
    dispatch: ({ notification: { eventType: name } }) => {
      begun.push(name)
      if (name === '7') throw new Error('refused')
      return DONE
    },
    maxBytes: Number.POSITIVE_INFINITY,
    onFault: (_, { notification }) => faults.push(notification.eventType),
  })
  const fill = intake.reserve(5)
  for (let n = 1; n < MANY; n++) intake.take(envelopeOf('user', String(n)))
  expect(begun).toEqual([])
  fill?.(envelopeOf('channel', '0'))
  expect(begun).toEqual(Array.from({ length: MANY }, (_, n) => String(n)))
  expect(faults).toEqual(['7'])
  await intake.settled()
})
