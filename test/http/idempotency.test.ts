import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { type Answer, startTestApp, type TestApp } from '../support/app.ts'
import { socketOf } from '../support/visit.ts'

const AT = '/api/v1/notifications'
const LOG = { QUEUE_ENABLED: 'true' }
const NO_ID = '00000000-0000-0000-0000-000000000000'
const EVENT = { event_type: 'e', payload: { n: 1.1 } }
const TO_ANN = { target_user_id: 'ann', ...EVENT }

const SENDS: readonly (readonly [path: string, target: object])[] = [
  ['/send', { target_user_id: 'ann' }],
  ['/send-to-users', { target_user_ids: ['ann', 'bob'] }],
  ['/broadcast', {}],
  ['/channel', { channel: 'c' }],
  ['/channels', { channels: ['c', 'd'] }],
]

const key = (value: string) => ({ 'idempotency-key': value })
const send = (app: TestApp, body: object, headers = {}, path = '/send') => app.post(AT + path, body, headers)
const logOf = async (
  app: TestApp,
  user = 'ann',
): Promise<readonly { readonly id: string; readonly payload: unknown }[]> =>
  (await app.get(`/api/v1/users/${user}/notifications`)).json.notifications
const codeOf = ({ status, json }: Answer) => [status, json.error?.code]
const isReplay = ({ headers }: Answer) => headers.get('idempotency-replayed')

/** A store that outlives its servers: the next server finds unfinished requests. */
function surviving(disturb: (store: Store) => Partial<Store> = () => ({})) {
  let kept: Store | undefined
  return (store: Store): Store => {
    kept ??= store
    const open = { ...kept, [Symbol.asyncDispose]: async () => {} }
    return { ...open, ...disturb(open) }
  }
}

describe('a repeat of a request with a key', () => {
  for (const [path, target] of SENDS)
    test(`${path}: gets the first answer, and nothing is sent`, async () => {
      await using app = await startTestApp(LOG)
      using ann = await socketOf(app, 'ann')
      ann.send({ type: 'Subscribe', payload: { channels: ['c'] } })
      await ann.nextOf('subscribed')
      const body = { ...target, ...EVENT }
      const first = await send(app, body, key('k'), path)
      const before = (await app.get('/stats')).json.notifications
      const again = await send(app, body, key('k'), path)
      expect([again.status, again.text]).toEqual([200, first.text])
      expect([isReplay(first), isReplay(again)]).toEqual([null, 'true'])
      expect((await app.get('/stats')).json.notifications).toEqual(before)
      expect((await ann.nextOf('notification')).id).toBe(first.json.notification_id)
      ann.send({ type: 'Ping' })
      expect((await ann.next()).type).toBe('pong')
    })

  test('may carry the key in the body; the header wins', async () => {
    await using app = await startTestApp(LOG)
    const body = { ...TO_ANN, idempotency_key: 'in-body' }
    const first = await send(app, body)
    expect((await send(app, body)).text).toBe(first.text)
    const other = await send(app, body, key('in-header'))
    expect(other.json.notification_id).not.toBe(first.json.notification_id)
    expect(isReplay(other)).toBeNull()
    expect((await logOf(app)).length).toBe(2)
  })

  test('is rejected and sends nothing if the body differs in a byte, or the path differs', async () => {
    await using app = await startTestApp(LOG)
    await send(app, TO_ANN, key('k'))
    const refused = [422, 'IDEMPOTENCY_KEY_REUSED']
    expect(codeOf(await send(app, { ...TO_ANN, event_type: 'f' }, key('k')))).toEqual(refused)
    expect(codeOf(await app.post(`${AT}/send`, `${JSON.stringify(TO_ANN)} `, key('k')))).toEqual(refused)
    expect(codeOf(await send(app, { channel: 'c', ...EVENT }, key('k'), '/channel'))).toEqual(refused)
    expect((await logOf(app)).length).toBe(1)
  })

  test('is rejected for an invalid key: 400 in the header, 422 in the body', async () => {
    await using app = await startTestApp(LOG)
    for (const bad of ['a b', 'x'.repeat(256), 'ü']) {
      const encoded = Buffer.from(bad, 'latin1').toString('latin1')
      expect(codeOf(await send(app, TO_ANN, key(encoded)))).toEqual([400, 'VALIDATION_ERROR'])
      expect(codeOf(await send(app, { ...TO_ANN, idempotency_key: bad }))).toEqual([422, 'VALIDATION_ERROR'])
    }
    expect(codeOf(await send(app, { ...TO_ANN, idempotency_key: 7 }))).toEqual([422, 'VALIDATION_ERROR'])
    expect((await send(app, { ...TO_ANN, idempotency_key: null })).status).toBe(200)
    expect((await send(app, TO_ANN, key('x'.repeat(255)))).status).toBe(200)
  })

  test('runs again after a failed request', async () => {
    await using app = await startTestApp(LOG)
    const body = { target_user_id: 'ann', template_id: 'later' }
    expect(codeOf(await send(app, body, key('k')))).toEqual([400, 'VALIDATION_ERROR'])
    await app.post('/api/v1/templates', { id: 'later', name: 'L', event_type: 'e', payload_template: 1 })
    const sent = await send(app, body, key('k'))
    expect([sent.status, isReplay(sent)]).toEqual([200, null])
    await app.post('/api/v1/templates', { id: 'gone', name: 'G', event_type: 'e', payload_template: 1 })
    expect((await send(app, TO_ANN, key('other'))).status).toBe(200)
  })

  test('is answered even if its template was deleted', async () => {
    await using app = await startTestApp(LOG)
    await app.post('/api/v1/templates', { id: 't', name: 'T', event_type: 'e', payload_template: 1 })
    const body = { target_user_id: 'ann', template_id: 't' }
    const first = await send(app, body, key('k'))
    await fetch(`${app.url}/api/v1/templates/t`, {
      method: 'DELETE',
      headers: { 'x-api-key': 'a-key-for-tests-0123456789' },
    })
    expect((await send(app, body, key('k'))).text).toBe(first.text)
  })

  test('never matches the same key of another tenant', async () => {
    await using app = await startTestApp({ ...LOG, TENANT_ENABLED: 'true' })
    const answers = await Promise.all(
      ['a', 'a.b', 'a_b'].map(tenant => send(app, TO_ANN, { ...key('k'), 'x-tenant-id': tenant })),
    )
    expect(answers.map(isReplay)).toEqual([null, null, null])
    expect(new Set(answers.map(({ json }) => json.notification_id)).size).toBe(3)
  })

  test('runs once if sent fifty times at once; the others get 409 or the answer', async () => {
    await using app = await startTestApp(LOG)
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(app, TO_ANN, key('k'))))
    const done = answers.filter(({ status }) => status === 200)
    expect(new Set(done.map(({ text }) => text)).size).toBe(1)
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expect(codeOf(answer)).toEqual([409, 'IDEMPOTENCY_IN_PROGRESS'])
      expect(answer.headers.get('retry-after')).toBe('1')
    }
    expect((await logOf(app)).length).toBe(1)
  })
})

describe('when the store fails', () => {
  const failing = (part: Partial<Store['log']>) => (store: Store) => ({ log: { ...store.log, ...part } })

  test('before the reservation, a request with a key is 503 without effect, even to a crowd', async () => {
    const reserve = () => Promise.reject(new StoreAway('away'))
    await using app = await startTestApp(LOG, {
      wrapStore: store => ({ ...store, idempotency: { ...store.idempotency, reserve } }),
    })
    for (const [path, target] of SENDS)
      expect(codeOf(await send(app, { ...target, ...EVENT }, key('k'), path))).toEqual([
        503,
        'STORE_UNAVAILABLE',
      ])
    expect((await send(app, EVENT, {}, '/broadcast')).status).toBe(200)
    expect(await logOf(app)).toEqual([])
  })

  test('after the append, the retry completes the request under the same id and delivers nothing twice', async () => {
    let isDown = true
    const wrapStore = surviving(store =>
      failing({
        append: async drafts => {
          // Stores for one of two users, then fails.
          const appended = await store.log.append(isDown ? drafts.slice(0, 1) : drafts)
          if (!isDown) return appended
          isDown = false
          throw new StoreAway('the answer was lost')
        },
      })(store),
    )
    await using app = await startTestApp(LOG, { wrapStore })
    const body = { target_user_ids: ['ann', 'bob'], ...EVENT }
    expect(codeOf(await send(app, body, key('k'), '/send-to-users'))).toEqual([503, 'STORE_UNAVAILABLE'])
    const [stored] = await logOf(app)
    const retried = await send(app, body, key('k'), '/send-to-users')
    expect(retried.json).toMatchObject({
      notification_id: stored?.id ?? '',
      delivered_to: 0,
      queued: 2,
      status: 'queued',
    })
    expect([isReplay(retried), (await logOf(app)).length, (await logOf(app, 'bob')).length]).toEqual([
      'true',
      1,
      1,
    ])
  })

  test('after a failed append, another request can use the key', async () => {
    let isDown = true
    await using app = await startTestApp(LOG, {
      wrapStore: store => ({
        ...store,
        ...failing({
          append: drafts => (isDown ? Promise.reject(new StoreAway('away')) : store.log.append(drafts)),
        })(store),
      }),
    })
    expect((await send(app, TO_ANN, key('k'))).status).toBe(503)
    isDown = false
    expect((await send(app, { ...TO_ANN, event_type: 'f' }, key('k'))).status).toBe(200)
  })
})

describe('after an internal error', () => {
  test('no key stays reserved, neither that of a send nor those of batch items', async () => {
    let isBroken = true
    const fail = (): never => {
      throw new Error('odd')
    }
    await using app = await startTestApp(LOG, {
      wrapStore: store => ({
        ...store,
        templates: {
          ...store.templates,
          get: (...asked) => (isBroken ? fail() : store.templates.get(...asked)),
        },
        idempotency: {
          ...store.idempotency,
          reserve: claim => (isBroken && claim.key === 'bad' ? fail() : store.idempotency.reserve(claim)),
        },
      }),
    })
    await app.post('/api/v1/templates', { id: 't', name: 'T', event_type: 'e', payload_template: 1 })
    const templated = { target_user_id: 'ann', template_id: 't' }
    const items = ['good', 'bad', 'fine'].map(idempotency_key => ({
      target: { type: 'user', value: 'ann' },
      ...EVENT,
      idempotency_key,
    }))
    const both = () =>
      Promise.all([send(app, templated, key('k')), send(app, { notifications: items }, {}, '/batch')])
    expect((await both()).map(({ status }) => status)).toEqual([500, 500])
    expect(await logOf(app)).toEqual([])
    isBroken = false
    const [sent, batch] = await both()
    expect([sent.status, batch.json.summary.succeeded]).toEqual([200, 3])
    expect(await logOf(app)).toHaveLength(4)
  })
})

describe('when the process dies', () => {
  test('between append and answer, the retry gets the stored id and the current status', async () => {
    const wrapStore = surviving(store => ({
      idempotency: { ...store.idempotency, answer: () => {}, release: () => {} },
    }))
    await using before = await startTestApp(LOG, { wrapStore })
    const first = await send(before, TO_ANN, key('k'))

    await using after = await startTestApp(LOG, { wrapStore })
    const retried = await send(after, TO_ANN, key('k'))
    expect([isReplay(first), isReplay(retried)]).toEqual([null, 'true'])
    expect(retried.json).toMatchObject({
      success: true,
      notification_id: first.json.notification_id,
      delivered_to: 0,
      failed: 0,
      queued: 1,
      status: 'queued',
    })
    using ann = await socketOf(after, 'ann')
    expect((await ann.nextOf('notification')).id).toBe(first.json.notification_id)
    const online = await send(after, TO_ANN, key('k'))
    expect(online.json).toMatchObject({ delivered_to: 0, failed: 0, queued: 0, status: 'delivered' })
    ann.send({ type: 'Ping' })
    expect((await ann.next()).type).toBe('pong')
    expect((await logOf(after)).length).toBe(1)
  })

  test('between reservation and append, the key stays reserved for a while, then the retry runs once', async () => {
    const shared = surviving()
    const never = { append: () => new Promise<never>(() => {}) }
    await using before = await startTestApp(LOG, {
      wrapStore: store => {
        const open = shared(store)
        return { ...open, log: { ...open.log, ...never } }
      },
    })
    const lost = send(before, TO_ANN, key('k'))
    lost.catch(() => {})
    const reserved = async () => (await send(before, TO_ANN, key('k'))).status
    while ((await reserved()) !== 409) await Bun.sleep(1)

    await using after = await startTestApp(LOG, { wrapStore: shared })
    expect(codeOf(await send(after, TO_ANN, key('k')))).toEqual([409, 'IDEMPOTENCY_IN_PROGRESS'])
    expect(await logOf(after)).toEqual([])
  })
})

describe('batch', () => {
  const item = (n: number, more: object = {}) => ({
    target: { type: 'user', value: 'ann' },
    event_type: 'e',
    payload: n,
    ...more,
  })
  const batch = (app: TestApp, notifications: readonly object[], headers = {}, options = {}) =>
    send(app, { notifications, options }, headers, '/batch')

  test('with its own key gets the first answer, and nothing is sent', async () => {
    await using app = await startTestApp(LOG)
    const first = await batch(app, [item(1), item(2)], key('b'))
    const again = await batch(app, [item(1), item(2)], key('b'))
    expect([again.text, isReplay(again)]).toEqual([first.text, 'true'])
    expect((await logOf(app)).length).toBe(2)
    expect(codeOf(await batch(app, [item(1)], key('b')))).toEqual([422, 'IDEMPOTENCY_KEY_REUSED'])
  })

  test('replays only the item with a known key', async () => {
    await using app = await startTestApp(LOG)
    const first = await batch(app, [item(1, { idempotency_key: 'i' }), item(2)])
    const again = await batch(app, [item(1, { idempotency_key: 'i' }), item(2)])
    const [was, is] = [first.json.results, again.json.results]
    expect(is[0]).toEqual({ ...was[0], replayed: true })
    expect(is[1].notification_id).not.toBe(was[1].notification_id)
    expect('replayed' in is[1]).toBe(false)
    expect(again.json.summary).toMatchObject({ total: 2, succeeded: 2, failed: 0, skipped: 0 })
    expect((await logOf(app)).length).toBe(3)
  })

  test('gives items with the same key the result of the first; an item with other content fails', async () => {
    await using app = await startTestApp(LOG)
    const { json } = await batch(app, [
      item(1, { idempotency_key: 'i' }),
      item(1, { idempotency_key: 'i' }),
      item(2, { idempotency_key: 'i' }),
      item(3),
    ])
    const [first, second, third, fourth] = json.results
    expect(second).toEqual({ ...first, index: 1, replayed: true })
    expect(third).toMatchObject({ notification_id: NO_ID, success: false, code: 'IDEMPOTENCY_KEY_REUSED' })
    expect(fourth.success).toBe(true)
    expect((await logOf(app)).length).toBe(2)
  })

  test('sends items with and without keys in order', async () => {
    await using app = await startTestApp(LOG)
    const items = Array.from({ length: 20 }, (_, n) =>
      item(n, n % 3 === 0 ? { idempotency_key: `i${n}` } : {}),
    )
    await batch(app, items)
    expect((await logOf(app)).map(({ payload }) => payload)).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  test('leaves the keys of skipped items free', async () => {
    await using app = await startTestApp(LOG)
    const unknown = { target: { type: 'user', value: 'ann' }, template_id: 'none' }
    const stopped = await batch(
      app,
      [unknown, item(1, { idempotency_key: 'i' })],
      {},
      { stop_on_error: true },
    )
    expect(stopped.json.results[1]).toMatchObject({ skipped: true, success: false })
    const double = await batch(app, [item(5), item(1, { idempotency_key: 'i' })], {}, { deduplicate: true })
    expect(double.json.results[1]).toMatchObject({ skipped: true, success: true })
    const now = await batch(app, [item(9, { idempotency_key: 'i' })])
    expect(now.json.results[0]).toMatchObject({ success: true, queued: 1 })
    expect('replayed' in now.json.results[0]).toBe(false)
  })

  test('delivers nothing twice when it is retried after a lost answer', async () => {
    let isDown = true
    const wrapStore = (store: Store): Store => ({
      ...store,
      log: {
        ...store.log,
        append: async drafts => {
          const appended = await store.log.append(drafts)
          if (isDown) throw new StoreAway('the answer was lost')
          return appended
        },
      },
    })
    await using app = await startTestApp(LOG, { wrapStore })
    expect((await batch(app, [item(1), item(2)], key('b'))).status).toBe(503)
    isDown = false
    const { json } = await batch(app, [item(1), item(2)], key('b'))
    const ids = (await logOf(app)).map(({ id }) => id)
    expect(json.results.map(({ notification_id }: { notification_id: string }) => notification_id)).toEqual(
      ids,
    )
    expect(new Set(ids).size).toBe(2)
  })

  test('counts new, replayed and conflicting keys', async () => {
    await using app = await startTestApp(LOG)
    await send(app, TO_ANN, key('k'))
    await send(app, TO_ANN, key('k'))
    await send(app, { ...TO_ANN, event_type: 'f' }, key('k'))
    expect(app.app.stats.idempotency).toEqual({ new: 1, replayed: 1, conflict: 1, inProgress: 0 })
    const [one, other] = [item(1, { idempotency_key: 'i' }), item(2, { idempotency_key: 'i' })]
    await batch(app, [one, one, other, item(3)])
    await batch(app, [one, item(3)])
    expect(app.app.stats.idempotency).toEqual({ new: 2, replayed: 3, conflict: 2, inProgress: 0 })
  })
})
