import { expect, test } from 'bun:test'
import { createReplayPace } from '../../src/dispatch/replay-pace.ts'
import type { Page } from '../../src/store/store.ts'
import { awaitedLater } from '../support/awaited-later.ts'

const pageOf = (count: number, bytes = 10): Page => ({
  epoch: 'e',
  entries: Array.from({ length: count }, (_, n) => ({ seq: n + 1, body: 'x'.repeat(bytes) })),
  through: count,
  removedThrough: 0,
})
const turn = () => new Promise(setImmediate)

test.each([
  ['with many small entries', pageOf(500), 2],
  ['with few large entries', pageOf(4, 65_536), 2],
  ['with one entry', pageOf(1), 981],
])('pages %s are written in order, a bounded number per turn', async (_, page, most) => {
  const pace = createReplayPace()
  const written: number[] = []
  const perTurn: number[] = []
  const all = awaitedLater(
    Promise.all(
      Array.from({ length: 40 * most }, (_, n) =>
        (async () => {
          await pace.write(page)
          written.push(n)
        })(),
      ),
    ),
  )
  while (written.length < 40 * most) {
    const before = written.length
    await turn()
    perTurn.push(written.length - before)
  }
  await all
  expect(written).toEqual(Array.from({ length: 40 * most }, (_, n) => n))
  // The first turn includes the pages that were written at once.
  for (const count of perTurn.slice(1)) expect(count).toBeLessThanOrEqual(most + 1)
})

test('pages in memory are bounded, a failed page frees its place, and tenants take turns', async () => {
  const pace = createReplayPace()
  const open: PromiseWithResolvers<void>[] = []
  const begun: string[] = []
  const run = (tenant: string) =>
    pace
      .run(tenant, () => {
        begun.push(tenant)
        const work = Promise.withResolvers<void>()
        open.push(work)
        return work.promise
      })
      .catch(() => {})
  const all = Array.from({ length: 200 }, () => run('large'))
  all.push(run('small'))
  await turn()
  expect(begun).toHaveLength(64)
  open[0]?.reject(new Error('a fault'))
  open[1]?.resolve()
  await turn()
  expect(begun.slice(64)).toEqual(['large', 'small'])
  for (let ended = 2; ended < 201; ended++) {
    open[ended]?.resolve()
    await turn()
  }
  await Promise.all(all)
  expect(begun).toHaveLength(201)
})
