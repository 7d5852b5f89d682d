import { expect, test } from 'bun:test'
import { every } from '../../src/lib/time/every.ts'

/** Resolves after this many runs of `work`. */
function counted(most: number) {
  let runs = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  return {
    reached: promise,
    count: () => {
      if (++runs === most) resolve()
    },
    get runs() {
      return runs
    },
  }
}

test('work repeats until it is disposed of', async () => {
  const done = counted(3)
  const timer = every(1, done.count)
  await done.reached
  timer[Symbol.dispose]()
  const { runs } = done
  await Bun.sleep(20)
  expect(done.runs).toBe(runs)
})

test('runs never overlap', async () => {
  const [started, done] = [counted(1), counted(3)]
  const last = Promise.withResolvers<void>()
  using _ = every(1, async () => {
    started.count()
    if (started.runs === 1) await last.promise
    done.count()
  })
  await started.reached
  await Bun.sleep(20)
  expect(started.runs).toBe(1)
  last.resolve()
  await done.reached
})
