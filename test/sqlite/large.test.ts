import { describe, expect, test } from 'bun:test'
import { createDeadline } from '../../src/store/sqlite/deadline.ts'
import { startTestApp } from '../support/app.ts'
import { storePlace } from '../support/store-file.ts'
import { send } from '../support/visit.ts'

describe('a caller waits', () => {
  const start = () => {
    const work = new BigInt64Array(new SharedArrayBuffer(8))
    const deadline = createDeadline(work)
    return {
      deadline,
      pass: (ticks: number, works = false) => {
        for (let n = 0; n < ticks; n++) {
          if (works) Atomics.add(work, 0, 1n)
          deadline.tick()
        }
      },
    }
  }

  test('for less than a second on a writer without progress', () => {
    const { deadline, pass } = start()
    pass(3)
    const asked = deadline.now
    pass(8)
    expect(deadline.isOverdue(asked)).toBe(false)
    pass(1)
    expect(deadline.isOverdue(asked)).toBe(true)
  })

  test('longer for a writer that makes progress on a long commit, but not forever', () => {
    const { deadline, pass } = start()
    pass(40, true)
    expect(deadline.isOverdue(0)).toBe(false)
    pass(9)
    expect(deadline.isOverdue(0)).toBe(true)
    pass(1, true)
    expect(deadline.isOverdue(0)).toBe(true)
  })
})

test('a send to 10,000 users is stored completely or not at all, and neither it nor other sends see an outage', async () => {
  await using place = await storePlace()
  await using app = await startTestApp({ STORE_URL: place.url, QUEUE_ENABLED: 'true' })
  const value = Array.from({ length: 10_000 }, (_, n) => `u${n}`)
  const payload = 'x'.repeat(5_000)
  const notifications = [{ target: { type: 'users', value }, event_type: 'e', payload }]
  const large = () => app.post('/api/v1/notifications/batch', { notifications })
  const results = await Promise.all([
    large(),
    large(),
    ...Array.from({ length: 20 }, (_, n) => send(app, `s${n}`, n)),
  ])
  expect(results.slice(0, 2)).toMatchObject(
    Array(2).fill({ status: 200, json: { results: [{ queued: 10_000, status: 'queued' }] } }),
  )
  expect(results.slice(2)).toMatchObject(Array(20).fill({ queued: 1 }))
  expect(app.lines.filter(({ event }) => event === 'store.lost')).toEqual([])
  // The file has each body once: 20,000 copies would take 100 MB.
  expect(Bun.file(place.path).size + Bun.file(`${place.path}-wal`).size).toBeLessThan(40_000_000)
  const { json } = await app.get('/api/v1/users/u9999/notifications')
  expect(json.notifications).toHaveLength(2)
}, 60_000)
