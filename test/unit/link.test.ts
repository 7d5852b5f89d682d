import { expect, test } from 'bun:test'
import { createBreaker } from '../../src/lib/redis/breaker.ts'
import { keepLink, type LinkConnection, type LinkEvent } from '../../src/lib/redis/reconnecting-link.ts'
import { type Clock, systemClock } from '../../src/lib/time/clock.ts'
import { createInbox } from '../support/inbox.ts'
import { eventually } from '../support/visit.ts'

interface TestLine extends LinkConnection {
  lose(reason: string): void
}

interface LinkTestOptions {
  readonly waits?: (n: number) => number
  readonly probeMs?: number
  readonly failureThreshold?: number
  readonly resetMs?: number
  readonly clock?: Pick<Clock, 'monotonic'>
}

/** Link to a server that the test switches on and off. */
function create({
  waits = () => 1,
  probeMs = 60_000,
  failureThreshold = 3,
  resetMs = 60_000,
  clock = systemClock,
}: LinkTestOptions = {}) {
  const events = createInbox<LinkEvent>()
  const lines: TestLine[] = []
  const waited: number[] = []
  const power = { on: true, reason: 'refused' }
  let tries = 0
  let alive = () => {}
  const link = keepLink({
    open: async options => {
      tries++
      await Promise.resolve()
      if (!power.on) throw new Error(power.reason)
      alive = options.alive
      const { promise, resolve } = Promise.withResolvers<Error>()
      const lose = (reason: string) => resolve(new Error(reason))
      const line = { ended: promise, end: () => lose('ended'), lose }
      lines.push(line)
      return line
    },
    breaker: createBreaker({ failureThreshold, successThreshold: 2, resetMs, clock }),
    backoff: n => {
      waited.push(n)
      return waits(n)
    },
    probeMs,
    clock,
    onChange: event => events.push(event),
  })
  const up = (count: number) => eventually(() => lines.length === count && link.state.connected)
  return { link, events, lines, waited, power, up, tries: () => tries, alive: () => alive() }
}

const UP = { connected: true, breaker: 'closed', failures: 0, attempts: 0, reconnections: 0 } as const

test('the link connects at once', async () => {
  const { link, up, waited } = create()
  using _ = link
  expect(link.state).toEqual({ ...UP, connected: false })
  await up(1)
  expect([link.state, waited]).toEqual([UP, []])
})

test('a lost link reconnects after the first wait, and counts one reconnection', async () => {
  const { link, lines, up, waited, events } = create()
  using _ = link
  await up(1)
  lines[0]?.lose('cut')
  await up(2)
  lines[1]?.lose('cut again')
  await up(3)
  expect(link.state).toEqual({ ...UP, reconnections: 2 })
  expect(waited).toEqual([0, 0])
  expect(events.all).toEqual([
    { type: 'connected' },
    { type: 'lost', reason: 'cut' },
    { type: 'connected' },
    { type: 'lost', reason: 'cut again' },
    { type: 'connected' },
  ])
})

test('waits grow with each failure and reset after a success', async () => {
  const { link, lines, power, up, waited } = create({ failureThreshold: 1_000 })
  using _ = link
  await up(1)
  power.on = false
  lines[0]?.lose('cut')
  await eventually(() => waited.length === 5)
  expect(link.state).toMatchObject({ connected: false, breaker: 'closed', attempts: 4, failures: 5 })
  power.on = true
  await up(2)
  lines[1]?.lose('cut')
  await up(3)
  const last = waited.length - 1
  expect(waited).toEqual([...Array.from({ length: last }, (_, n) => n), 0])
})

test('a repeated failure is reported once', async () => {
  const { link, power, waited, events } = create({ failureThreshold: 1_000 })
  power.on = false
  using _ = link
  await eventually(() => waited.length > 3)
  power.reason = 'wrong password'
  await events.until(event => event.type === 'failed' && event.reason === 'wrong password')
  await eventually(() => waited.length > 8)
  expect(events.all).toEqual([
    { type: 'failed', reason: 'refused' },
    { type: 'failed', reason: 'wrong password' },
  ])
})

test('while the breaker is open only probes connect, and a successful probe becomes the connection', async () => {
  const { link, power, up, tries, events, alive } = create({ probeMs: 5 })
  power.on = false
  using _ = link
  await events.until(event => event.type === 'breaker')
  const before = tries()
  await eventually(() => tries() > before + 3)
  expect(link.state).toMatchObject({ breaker: 'open', failures: 3, attempts: 2 })
  power.on = true
  await up(1)
  expect(link.state).toEqual({ ...UP, breaker: 'half_open' })
  alive()
  expect(link.state).toEqual(UP)
  expect(events.all.flatMap(event => (event.type === 'breaker' ? [event.state] : []))).toEqual([
    'open',
    'half_open',
    'closed',
  ])
})

test('while the breaker is open, a probe that fails for another reason is reported once and does not count', async () => {
  const { link, power, tries, events } = create({ probeMs: 5 })
  power.on = false
  using _ = link
  await events.until(event => event.type === 'breaker')
  power.reason = 'no such database'
  await events.until(event => event.type === 'failed' && event.reason === 'no such database')
  const before = tries()
  await eventually(() => tries() > before + 3)
  expect(link.state.failures).toBe(3)
  expect(events.all).toEqual([
    { type: 'failed', reason: 'refused' },
    { type: 'breaker', state: 'open' },
    { type: 'failed', reason: 'no such database' },
  ])
})

test('a link lost after a long time is not probed early', async () => {
  let now = 0
  const { link, lines, up, waited, tries } = create({
    waits: () => 60_000,
    clock: { monotonic: () => now },
  })
  using _ = link
  await up(1)
  now += 3_600_000
  lines[0]?.lose('cut')
  await eventually(() => waited.length === 1)
  await Bun.sleep(20)
  expect(tries()).toBe(1)
})

test('a probe also ends a long wait while the breaker is closed', async () => {
  const { link, power, up } = create({ waits: () => 60_000, probeMs: 5 })
  power.on = false
  using _ = link
  await eventually(() => link.state.failures === 1)
  power.on = true
  await up(1)
  expect(link.state).toEqual(UP)
})

test('without probes the link retries when the breaker is half-open, and one failure opens it again', async () => {
  const { link, power, tries, events } = create({ failureThreshold: 1, resetMs: 20 })
  power.on = false
  using _ = link
  await eventually(() => tries() === 4)
  expect(events.all.flatMap(event => (event.type === 'breaker' ? [event.state] : [])).slice(0, 5)).toEqual([
    'open',
    'half_open',
    'open',
    'half_open',
    'open',
  ])
})

test('a loss in half-open state opens the breaker again', async () => {
  const { link, power, lines, up, events } = create({ failureThreshold: 1, probeMs: 5 })
  power.on = false
  using _ = link
  await events.until(event => event.type === 'breaker')
  power.on = true
  await up(1)
  power.on = false
  lines[0]?.lose('cut')
  await eventually(() => !link.state.connected)
  expect(link.state.breaker).toBe('open')
})

test('after disposal the link closes its connection, reports nothing and never retries', async () => {
  const { link, lines, up, tries, events } = create()
  await up(1)
  link[Symbol.dispose]()
  expect(await lines[0]?.ended).toEqual(new Error('ended'))
  await eventually(() => !link.state.connected)
  expect([tries(), events.all]).toEqual([1, [{ type: 'connected' }]])
})

test('disposal during a wait or an attempt opens no connection', async () => {
  const waiting = create({ waits: () => 60_000 })
  waiting.power.on = false
  await eventually(() => waiting.waited.length === 1)
  waiting.link[Symbol.dispose]()
  const trying = create()
  trying.link[Symbol.dispose]()
  await eventually(() => trying.lines.length === 1)
  expect(await trying.lines[0]?.ended).toEqual(new Error('ended'))
  expect([waiting.tries(), trying.tries(), trying.link.state.connected]).toEqual([1, 1, false])
})
