import { expect, test } from 'bun:test'
import { createLargeCalls } from '../../src/dispatch/large-calls.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createStoppedClock } from '../support/clock.ts'

/** Calls that end when the test says so, named by tenant and number. */
function start() {
  const clock = createStoppedClock()
  const run = createLargeCalls(clock)
  const begun: string[] = []
  const open = new Map<string, PromiseWithResolvers<string>>()
  const call = (name: string, recipients: number, bytes = 100): Promise<string> => {
    const answered = run(name.charAt(0), { recipients, bytes }, () => {
      const work = Promise.withResolvers<string>()
      begun.push(name)
      open.set(name, work)
      return work.promise
    })
    // The test may await it later.
    answered.catch(() => {})
    return answered
  }
  const end = async (name: string, error?: Error): Promise<void> => {
    if (error === undefined) open.get(name)?.resolve(name)
    else open.get(name)?.reject(error)
    await new Promise(setImmediate)
  }
  return { clock, call, begun, end }
}

test('small calls start at once, and large calls run together up to 10,000 recipients', async () => {
  const { call, begun, end } = start()
  void call('a1', 6_000)
  void call('a2', 4_000)
  void call('a3', 6_000)
  void call('a4', 256)
  await new Promise(setImmediate)
  expect([...begun].sort()).toEqual(['a1', 'a2', 'a4'])
  await end('a2')
  expect(begun).not.toContain('a3')
  await end('a1')
  expect(begun.at(-1)).toBe('a3')
})

test('tenants take turns, and a call above the bound runs alone', async () => {
  const { call, begun, end } = start()
  for (const name of ['a1', 'a2', 'a3']) void call(name, 10_000)
  void call('b1', 100_000)
  void call('c1', 5_000)
  const order = ['a1', 'a2', 'b1', 'c1', 'a3']
  for (const [n, name] of order.entries()) {
    await new Promise(setImmediate)
    expect(begun).toEqual(order.slice(0, n + 1))
    await end(name)
  }
})

test('a failing call makes room, and only its own caller gets the error', async () => {
  const { call, begun, end } = start()
  const first = awaitedLater(call('a1', 10_000))
  const second = awaitedLater(call('a2', 10_000))
  await new Promise(setImmediate)
  await end('a1', new Error('away'))
  await expect(first).rejects.toThrow('away')
  expect(begun).toEqual(['a1', 'a2'])
  await end('a2')
  expect(await second).toBe('a2')
})

test('waiting calls are bounded per tenant', async () => {
  const { call } = start()
  const refused = { code: 'STORE_UNAVAILABLE', headers: { 'retry-after': '1' } }
  void call('a0', 10_000)
  const calls = Array.from({ length: 70 }, (_, n) => call(`a${n + 1}`, 257, 1_048_576))
  await expect(calls.at(-1)).rejects.toMatchObject(refused)
  const other = Array.from({ length: 60 }, (_, n) => call(`b${n}`, 257, 1_048_576))
  const states = await Promise.all(
    [...calls.slice(0, 62), ...other].map(each =>
      Promise.race([each.then(String, () => 'refused'), new Promise(setImmediate).then(() => 'waits')]),
    ),
  )
  expect(new Set(states)).toEqual(new Set(['waits']))
})

test('a call that has waited for 30 s is rejected', async () => {
  const { clock, call, begun, end } = start()
  void call('a1', 10_000)
  const late = awaitedLater(call('a2', 10_000))
  await new Promise(setImmediate)
  clock.jump(29)
  const next = awaitedLater(call('b1', 10_000))
  clock.jump(2)
  await end('a1')
  await expect(late).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(begun).toEqual(['a1', 'b1'])
  await end('b1')
  expect(await next).toBe('b1')
})
