import { expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { eventually, settle, socketOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' }
const AT = '/api/v1/notifications'

/** User ids short enough for ten thousand in a body. */
const users = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => n.toString(36))

const sendTo = (app: TestApp, tenant: string, target_user_ids: readonly string[], payload: unknown = null) =>
  app.post(`${AT}/send-to-users`, { target_user_ids, event_type: 'e', payload }, { 'x-tenant-id': tenant })

/** A store whose appends for many users wait until the test releases the next one. */
function gated() {
  const begun: string[] = []
  const gates: (() => void)[] = []
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      append: async drafts => {
        const [first] = drafts
        if (drafts.length > 256 && first !== undefined) {
          begun.push(first.owner.split(':')[1] ?? '')
          await new Promise<void>(resolve => gates.push(resolve))
        }
        return store.log.append(drafts)
      },
    },
  })
  return { wrapStore, begun, next: () => gates.shift()?.() }
}

test('large calls of a tenant delay small calls and other tenants by at most one large call', async () => {
  const { wrapStore, begun, next } = gated()
  await using app = await startTestApp(LOG_ON, { wrapStore })
  const all = users(10_000)
  const greedy = awaitedLater(Array.from({ length: 6 }, () => sendTo(app, 'greedy', all)))
  await eventually(async () => begun.length === 1)
  const modest = awaitedLater(sendTo(app, 'modest', all.slice(0, 5_000)))
  for (const tenant of ['greedy', 'modest'])
    expect((await sendTo(app, tenant, users(200), 'small')).json).toMatchObject({ queued: 200 })
  expect(begun).toEqual(['greedy'])
  for (let done = 1; done <= 7; done++) {
    next()
    await eventually(async () => begun.length === Math.min(7, done + 1))
  }
  expect((await modest).json).toMatchObject({ status: 'queued', queued: 5_000 })
  for (const answer of await Promise.all(greedy)) expect(answer.json).toMatchObject({ queued: 10_000 })
  expect(begun.indexOf('modest')).toBeLessThanOrEqual(2)
}, 30_000)

test('a batch for many users keeps its order, and other callers are served between its portions', async () => {
  await using app = await startTestApp({ ...LOG_ON, TENANT_ENABLED: 'false' })
  using client = await socketOf(app, '7')
  const item = (value: string | readonly string[], payload: number) => ({
    target: typeof value === 'string' ? { type: 'user', value } : { type: 'users', value },
    event_type: 'e',
    payload,
  })
  const notifications = Array.from({ length: 30 }, (_, n) =>
    item(n % 3 === 0 ? users(400) : n % 3 === 1 ? '7' : users(100), n),
  )
  const { json } = await app.post(`${AT}/batch`, { notifications })
  expect(json.summary).toMatchObject({ succeeded: 30, total_delivered: 30 })
  expect((await client.take(30)).map(({ payload }) => payload)).toEqual(notifications.map((_, n) => n))
  expect(await settle(client)).toEqual([])
})

test('a large call reaches online and offline users once each, with the log on and off', async () => {
  for (const env of [{ QUEUE_ENABLED: 'true' }, {}]) {
    await using app = await startTestApp(env)
    const names = users(2_000)
    const clients = await Promise.all(names.filter((_, n) => n % 20 === 0).map(name => socketOf(app, name)))
    const first = app.post(`${AT}/send-to-users`, { target_user_ids: names, event_type: 'e', payload: 1 })
    const second = app.post(`${AT}/send-to-users`, { target_user_ids: names, event_type: 'e', payload: 2 })
    for (const { json } of await Promise.all([first, second])) expect(json.delivered_to).toBe(100)
    for (const client of clients) {
      expect((await client.take(2)).map(({ payload }) => payload).sort()).toEqual([1, 2])
      client.close()
    }
  }
})
