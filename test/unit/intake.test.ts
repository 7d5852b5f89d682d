import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Outcome } from '../../src/dispatch/dispatcher.ts'
import { notificationOf } from '../../src/notification/content.ts'
import type { Envelope, Target } from '../../src/notification/target.ts'
import { createIntake, type Fill } from '../../src/trigger/intake.ts'

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
    notification: notificationOf(content, payload, { source: 'redis:x', now: 0 }),
  }
}

const DONE: Outcome = { notificationId: '', deliveredTo: 0, failed: 0, queued: 0, status: 'no_recipient' }

/** An intake whose dispatches end when the test says so. */
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

test('what is for users begins at once, without waiting for what came before', () => {
  const { take, begun } = create()
  for (const name of ['1', '2', '3']) take('user', name)
  expect(begun).toEqual(['1', '2', '3'])
})

test('what is for many users waits until all before it is appended, and nothing overtakes it', async () => {
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

test('recipients count by how much they take', () => {
  const { take } = create(20_000)
  expect(take('users', '1')).toBe(false)
  expect(take('user', '2')).toBe(true)
})

test('what is for a crowd waits until all before it is appended, and what comes behind it waits too', async () => {
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

test('a failure is told and holds up nothing', async () => {
  const { intake, take, begun, end, faults } = create()
  take('user', '1')
  take('channel', '2')
  await end('1', new Error('away'))
  expect([begun, faults]).toEqual([['1', '2'], [new Error('away')]])
  await end('2')
  await intake.settled()
})

test('more than may be under way is not taken, until something has ended', async () => {
  const { take, end } = create(4_000)
  expect(take('user', '1', 'x'.repeat(1_000))).toBe(true)
  expect(take('channel', '2', 'x'.repeat(900))).toBe(true)
  expect(take('user', '3')).toBe(false)
  await end('1')
  expect(take('user', '4')).toBe(true)
})

test('it is settled when nothing is under way any more', async () => {
  const { intake, take, end } = create()
  await intake.settled()
  take('user', '1')
  take('channel', '2')
  let settled = false
  const waiting = intake.settled().then(() => {
    settled = true
  })
  await end('1')
  expect(settled).toBe(false)
  await end('2')
  await waiting
})

test('what is still being found out keeps its place, and what comes behind it waits', async () => {
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

test('what turns out to be nothing holds up nobody any longer, and only the first word counts', async () => {
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

test('it is not settled before all is found out', async () => {
  const { intake } = create()
  const fill = intake.reserve(10)
  let settled = false
  const waiting = intake.settled().then(() => {
    settled = true
  })
  await new Promise(setImmediate)
  expect(settled).toBe(false)
  fill?.(undefined)
  await waiting
})

test('what is being found out takes what it was said to take, and then what it takes', async () => {
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

test('in whatever order they end, they begin in order and nothing is left over', async () => {
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
        // Whenever a crowd's turn has come nothing for users is open that came before it.
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
