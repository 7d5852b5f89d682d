import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Outcome } from '../../src/dispatch/dispatcher.ts'
import { notificationOf } from '../../src/notification/content.ts'
import type { Envelope } from '../../src/notification/target.ts'
import { createIntake } from '../../src/trigger/intake.ts'

type Kind = 'user' | 'channel'

function envelopeOf(kind: Kind, name: string, payload = 'null'): Envelope {
  const content = { event_type: name, payload: null }
  return {
    tenant: 'default',
    target: kind === 'user' ? { type: 'user', user: 'u' } : { type: 'channel', channel: 'c' },
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

test('in whatever order they end, they begin in order and nothing is left over', async () => {
  const kinds = fc.array(fc.constantFrom<Kind>('user', 'channel'), { minLength: 1, maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(kinds, fc.infiniteStream(fc.nat()), async (taken, choices) => {
      const { intake, take, begun, open, end } = create()
      taken.forEach((kind, n) => {
        take(kind, String(n))
      })
      for (const choice of choices) {
        const kindsOpen = open.map(({ name }) => taken[Number(name)])
        const last = begun.length - 1
        // Whenever a crowd's turn has come nothing for users is open that came before it.
        if (taken[last] === 'channel') expect(kindsOpen).not.toContain('user')
        const chosen = open[choice % (open.length || 1)]
        if (chosen === undefined) break
        await end(chosen.name)
      }
      expect(begun).toEqual(taken.map((_, n) => String(n)))
      await intake.settled()
    }),
    { numRuns: 100 },
  )
})
