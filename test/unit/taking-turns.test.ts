import { expect, test } from 'bun:test'
import { takingTurns } from '../../src/lib/flow/taking-turns.ts'
import { awaitedLater } from '../support/awaited-later.ts'

/** Work that the test ends. */
function work() {
  const begun: PromiseWithResolvers<number>[] = []
  const ask = takingTurns(() => {
    const each = Promise.withResolvers<number>()
    begun.push(each)
    return each.promise
  })
  return { begun, ask }
}

test('callers during a run share the next run', async () => {
  const { begun, ask } = work()
  const first = awaitedLater(ask())
  await Promise.resolve()
  const second = awaitedLater(ask())
  const third = awaitedLater(ask())
  await new Promise(setImmediate)
  expect(begun).toHaveLength(1)
  begun[0]?.resolve(1)
  expect(await first).toBe(1)
  await new Promise(setImmediate)
  expect(begun).toHaveLength(2)
  const fourth = awaitedLater(ask())
  begun[1]?.resolve(2)
  expect(await Promise.all([second, third])).toEqual([2, 2])
  await new Promise(setImmediate)
  begun[2]?.resolve(3)
  expect(await fourth).toBe(3)
})

test('a failure reaches only the callers that wait for it', async () => {
  const { begun, ask } = work()
  const first = awaitedLater(ask())
  await Promise.resolve()
  const second = awaitedLater(ask())
  begun[0]?.reject(new Error('no'))
  expect(first).rejects.toThrow('no')
  await new Promise(setImmediate)
  begun[1]?.resolve(2)
  expect(await second).toBe(2)
})
