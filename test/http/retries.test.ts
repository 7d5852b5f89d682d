import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { type Answer, API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { settle, socketOf } from '../support/visit.ts'

const AT = '/api/v1/notifications'
const LOG = { QUEUE_ENABLED: 'true' }
const KEY = { 'idempotency-key': 'k' }
const RESERVED_SECONDS = 30
const TO_ANN = { target_user_id: 'ann', event_type: 'e', payload: 1 }

interface Listed {
  readonly id: string
  readonly payload: unknown
  readonly occurred_at: string
}

const logOf = async (app: TestApp, user = 'ann'): Promise<readonly Listed[]> =>
  (await app.get(`/api/v1/users/${user}/notifications`)).json.notifications
const send = (app: TestApp, body: object, path = '/send') => app.post(AT + path, body, KEY)

const isReplay = ({ headers }: Answer) => headers.get('idempotency-replayed')

/** One store for several servers; `disturb` wraps it for the server that starts next. */
function sharedStore() {
  let kept: Store | undefined
  const over =
    (disturb: (store: Store) => Partial<Store> = () => ({})) =>
    (store: Store): Store => {
      kept ??= store
      const open = { ...kept, [Symbol.asyncDispose]: async () => {} }
      return { ...open, ...disturb(open) }
    }
  return over
}

/** Loses appends once `isDead`: their callers wait forever. */
const dying =
  (isDead: (appends: number) => boolean) =>
  ({ log }: Store): Partial<Store> => {
    let appends = 0
    return {
      log: { ...log, append: drafts => (isDead(appends++) ? new Promise(() => {}) : log.append(drafts)) },
    }
  }

/** Sends a request that is never answered, and waits until its key is reserved. */
async function leave(app: TestApp, body: object, path?: string): Promise<void> {
  send(app, body, path).catch(() => {})
  while ((await send(app, body, path)).status !== 409) await new Promise(setImmediate)
}

describe('a retry after an unknown outcome', () => {
  test('runs at once if the store failed after reserving the key', async () => {
    let isDown = true
    await using app = await startTestApp(LOG, {
      wrapStore: store => ({
        ...store,
        idempotency: {
          ...store.idempotency,
          reserve: async claim => {
            const reserved = await store.idempotency.reserve(claim)
            if (isDown) throw new StoreAway('the answer was lost')
            return reserved
          },
        },
      }),
    })
    expect((await send(app, TO_ANN)).status).toBe(503)
    isDown = false
    const other = await app.post(`${AT}/send`, { ...TO_ANN, payload: 2 }, KEY)
    expect(other.status).toBe(200)
    expect((await logOf(app)).map(({ payload }) => payload)).toEqual([2])
  })

  for (const when of ['before', 'after'] as const)
    test(`runs at once if the store failed ${when} the append and received nothing more`, async () => {
      let isDown = true
      await using app = await startTestApp(LOG, {
        wrapStore: store => ({
          ...store,
          log: {
            ...store.log,
            append: async drafts => {
              if (isDown && when === 'before') throw new StoreAway('away')
              const appended = await store.log.append(drafts)
              if (isDown) throw new StoreAway('away')
              return appended
            },
          },
          idempotency: { ...store.idempotency, release: () => {} },
        }),
      })
      expect((await send(app, TO_ANN)).status).toBe(503)
      isDown = false
      const retried = await send(app, TO_ANN)
      expect([retried.status, retried.json.status, retried.json.queued]).toEqual([200, 'queued', 1])
      expect((await logOf(app)).map(({ id }) => id)).toEqual([retried.json.notification_id])
    })

  test('delivers the same notification with the same time to all recipients', async () => {
    let isDown = true
    const clock = createTestClock()
    await using app = await startTestApp(LOG, {
      clock,
      wrapStore: store => ({
        ...store,
        log: {
          ...store.log,
          append: async drafts => {
            const appended = await store.log.append(isDown ? drafts.slice(0, 1) : drafts)
            if (isDown) throw new StoreAway('half of it')
            return appended
          },
        },
      }),
    })
    const body = { target_user_ids: ['ann', 'bob'], event_type: 'e', payload: 1 }
    expect((await send(app, body, '/send-to-users')).status).toBe(503)
    isDown = false
    clock.jump(5)
    expect((await send(app, body, '/send-to-users')).json.queued).toBe(2)
    const [ann, bob] = [await logOf(app), await logOf(app, 'bob')]
    expect([ann.length, bob.length]).toEqual([1, 1])
    expect([bob[0]?.id, bob[0]?.occurred_at]).toEqual([ann[0]?.id, ann[0]?.occurred_at])
  })

  test('does not send a stored notification again that has expired meanwhile', async () => {
    const clock = createTestClock()
    const over = sharedStore()
    const lossy = over(({ idempotency }) => ({ idempotency: { ...idempotency, answer: () => {} } }))
    await using app = await startTestApp(LOG, { clock, wrapStore: lossy })
    using ann = await socketOf(app, 'ann')
    const body = { ...TO_ANN, ttl: 10 }
    const first = await send(app, body)
    expect(first.json.delivered_to).toBe(1)
    clock.jump(11)
    const retried = await send(app, body)
    expect([retried.json.notification_id, retried.json.status, retried.json.queued]).toEqual([
      first.json.notification_id,
      'expired',
      0,
    ])
    expect((await settle(ann)).map(({ id }) => id)).toEqual([first.json.notification_id])
  })
})

/** Carries out the first append and loses its answer. */
const losing = () => {
  let isLost = false
  return ({ log }: Store): Partial<Store> => ({
    log: {
      ...log,
      append: async drafts => {
        const appended = await log.append(drafts)
        if (isLost) return appended
        isLost = true
        throw new StoreAway('the answer was lost')
      },
    },
  })
}

describe('a retry on another service, after an unknown outcome', () => {
  test('completes the stored notification, and its answer is kept', async () => {
    const over = sharedStore()
    await using one = await startTestApp(LOG, { wrapStore: over(losing()) })
    await using two = await startTestApp(LOG, { wrapStore: over() })
    expect((await send(one, TO_ANN)).status).toBe(503)
    const retried = await send(two, TO_ANN)
    expect([retried.json.queued, isReplay(retried)]).toEqual([1, 'true'])
    const again = await send(one, TO_ANN)
    expect([again.text, isReplay(again)]).toEqual([retried.text, 'true'])
    expect((await logOf(one)).map(({ id }) => id)).toEqual([retried.json.notification_id])
  })

  test('keeps the stored id if a retry is rejected meanwhile', async () => {
    const over = sharedStore()
    await using one = await startTestApp(LOG, { wrapStore: over(losing()) })
    await using two = await startTestApp(LOG, { wrapStore: over() })
    const template = { id: 't', name: 'T', event_type: 'e', payload_template: 1 }
    const body = { target_user_id: 'ann', template_id: 't' }
    const remove = () =>
      fetch(`${one.url}/api/v1/templates/t`, { method: 'DELETE', headers: { 'x-api-key': API_KEY } })
    await one.post('/api/v1/templates', template)
    expect((await send(one, body)).status).toBe(503)
    await remove()
    expect((await send(two, body)).status).toBe(400)
    await one.post('/api/v1/templates', template)
    await using three = await startTestApp(LOG, { wrapStore: over() })
    expect((await send(three, body)).status).toBe(200)
    expect(await logOf(one)).toHaveLength(1)
  })

  test('completes a single item of a batch', async () => {
    const over = sharedStore()
    await using one = await startTestApp(LOG, { wrapStore: over(losing()) })
    await using two = await startTestApp(LOG, { wrapStore: over() })
    const item = { target: { type: 'user', value: 'ann' }, event_type: 'e', payload: 1, idempotency_key: 'i' }
    const batch = (app: TestApp, payload: number) =>
      app.post(`${AT}/batch`, { notifications: [item, { ...item, idempotency_key: null, payload }] })
    expect((await batch(one, 2)).json.results[0].code).toBe('STORE_UNAVAILABLE')
    const [retried] = (await batch(two, 3)).json.results
    expect([retried.queued, retried.replayed]).toEqual([1, true])
    expect((await logOf(two)).map(({ payload }) => payload)).toEqual([1, 2, 3])
    expect((await logOf(two))[0]?.id).toBe(retried.notification_id)
    expect((await batch(one, 4)).json.results[0]).toEqual({ ...retried, replayed: true })
  })
})

describe('a retry after the process died', () => {
  test('before the append gets 409 for half a minute, then runs once', async () => {
    const clock = createTestClock()
    const over = sharedStore()
    await using before = await startTestApp(LOG, { clock, wrapStore: over(dying(() => true)) })
    await leave(before, TO_ANN)
    await using after = await startTestApp(LOG, { clock, wrapStore: over() })
    clock.jump(RESERVED_SECONDS - 5)
    expect((await send(after, TO_ANN)).status).toBe(409)
    clock.jump(6)
    const sent = await send(after, TO_ANN)
    expect([sent.status, sent.json.status]).toEqual([200, 'queued'])
    const again = await send(after, TO_ANN)
    expect([again.text, isReplay(again)]).toEqual([sent.text, 'true'])
    expect((await logOf(after)).map(({ id }) => id)).toEqual([sent.json.notification_id])
  })

  test('in the middle of a batch with stop_on_error continues after the stored items', async () => {
    const clock = createTestClock()
    const over = sharedStore()
    const body = {
      notifications: [1, 2, 3, 4].map(payload => ({
        target: { type: 'user', value: 'ann' },
        event_type: 'e',
        payload,
      })),
      options: { stop_on_error: true },
    }
    await using before = await startTestApp(LOG, { clock, wrapStore: over(dying(n => n >= 2)) })
    await leave(before, body, '/batch')
    await using after = await startTestApp(LOG, { clock, wrapStore: over() })
    using ann = await socketOf(after, 'ann')
    await ann.take(2)
    clock.jump(RESERVED_SECONDS + 1)
    const { json } = await send(after, body, '/batch')
    const ids = (await logOf(after)).map(({ id }) => id)
    expect(ids).toHaveLength(4)
    expect(json.results.map((result: { notification_id: string }) => result.notification_id)).toEqual(ids)
    expect(json.results.map((result: { status: string }) => result.status)).toEqual(
      Array(4).fill('delivered'),
    )
    expect((await settle(ann)).map(({ payload }) => payload)).toEqual([3, 4])
  })

  test('in the middle of a batch does not send expired items again', async () => {
    const clock = createTestClock()
    const over = sharedStore()
    const item = (payload: number, more: object) => ({
      target: { type: 'user', value: 'ann' },
      event_type: 'e',
      payload,
      ...more,
    })
    const notifications = [item(1, { ttl: 5 }), item(2, { ttl: 5, idempotency_key: 'i' }), item(3, {})]
    const body = { notifications }
    const die = dying(n => n >= 2)
    const wrapStore = over(store => ({
      ...die(store),
      idempotency: { ...store.idempotency, answer: () => {} },
    }))
    await using before = await startTestApp(LOG, { clock, wrapStore })
    await leave(before, body, '/batch')
    await using after = await startTestApp(LOG, { clock, wrapStore: over() })
    clock.jump(RESERVED_SECONDS + 1)
    const { json } = await send(after, body, '/batch')
    expect(json.results.map((result: { status: string }) => result.status)).toEqual([
      'expired',
      'expired',
      'queued',
    ])
    expect((await logOf(after)).map(({ payload }) => payload)).toEqual([3])
  })
})

describe('concurrent requests with one key', () => {
  test('reach each subscriber of a channel once', async () => {
    await using app = await startTestApp(LOG)
    using ann = await socketOf(app, 'ann')
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => send(app, { event_type: 'e', payload: 1 }, '/broadcast')),
    )
    expect(await settle(ann)).toHaveLength(1)
    expect(new Set(answers.map(({ status }) => status)).difference(new Set([200, 409])).size).toBe(0)
    expect(app.app.stats.idempotency.new).toBe(1)
  })

  test('to two servers over one store are stored once, under the answered id', async () => {
    const over = sharedStore()
    await using one = await startTestApp(LOG, { wrapStore: over() })
    await using two = await startTestApp(LOG, { wrapStore: over() })
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => send(n % 2 ? one : two, TO_ANN)))
    const ids = answers.filter(({ status }) => status === 200).map(({ json }) => json.notification_id)
    expect(new Set(ids)).toEqual(new Set((await logOf(one)).map(({ id }) => id)))
    expect(new Set(ids).size).toBe(1)
    expect((await send(one, TO_ANN)).text).toBe((await send(two, TO_ANN)).text)
  })
})
