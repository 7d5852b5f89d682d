import { expect, test } from 'bun:test'
import { collectEvery } from '../../src/lib/system/young-garbage.ts'

const OBJECTS = 1_000

const refs = (): readonly WeakRef<object>[] =>
  Array.from({ length: OBJECTS }, (_, n) => new WeakRef({ n, more: [n] }))

const turn = () => new Promise(resolve => setImmediate(resolve))

test('every third call collects', () => {
  let collections = 0
  const called = collectEvery(3, () => {
    collections++
  })
  for (const expected of [0, 0, 1, 1, 1, 2]) {
    called()
    expect(collections).toBe(expected)
  }
})

test('a collection frees young objects', async () => {
  const objects = refs()
  await turn()
  collectEvery(1)()
  await turn()
  const alive = objects.filter(each => each.deref() !== undefined)
  // The collector may take a number on the stack for a pointer.
  expect(alive.length).toBeLessThan(OBJECTS / 10)
})
