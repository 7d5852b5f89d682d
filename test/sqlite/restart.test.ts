import { describe, expect, test } from 'bun:test'
import { userTopic } from '../../src/notification/topic.ts'
import type { Claim } from '../../src/store/idempotency.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startService } from '../support/service.ts'
import { openPlace, type StorePlace, storePlace } from '../support/store-file.ts'
import { eventually, send, sendToUsers, settle, socketOf } from '../support/visit.ts'

const ON = { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' }
const TEMPLATE = { id: 't', name: 'n', event_type: 'e', payload_template: { a: '{{b}}' } }

const start = ({ url }: StorePlace, env: Record<string, string> = {}): Promise<TestApp> =>
  startTestApp({ STORE_URL: url, ...ON, ...env })

const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload)

const statesOf = async (app: TestApp, id: string): Promise<string[]> =>
  (await app.get(`/api/v1/notifications/${id}`)).json.recipients.map(
    ({ user_id, state, attempts }: Message) => `${user_id} ${state} ${attempts}`,
  )

describe('a restart keeps', () => {
  test('queued entries with their order, seqs and epoch, so that clients resume', async () => {
    await using place = await storePlace()
    const before = await (async () => {
      await using app = await start(place, { ACK_ENABLED: 'false' })
      for (let n = 1; n <= 5; n++) await send(app, 'u', n)
      using client = await socketOf(app, 'u', { cursor: '' })
      const messages = await client.take(6)
      return messages.slice(1)
    })()
    await using app = await start(place, { ACK_ENABLED: 'false' })
    await send(app, 'u', 6)
    using client = await socketOf(app, 'u', { cursor: before[2]?.cursor })
    const [connected, ...after] = await client.take(4)
    expect(connected).toMatchObject({ recovered: true, replayed: 3, cursor: before[2]?.cursor })
    expect(after.slice(0, 2)).toEqual(before.slice(3))
    const epoch = before[0]?.cursor.split(':')[0]
    expect(after[2]).toMatchObject({ payload: 6, cursor: `${epoch}:6` })
  })

  test('delivery states, so that only unacknowledged notifications are sent again', async () => {
    await using place = await storePlace()
    const ids = await (async () => {
      await using app = await start(place)
      const { notification_id: first } = await sendToUsers(app, ['u', 'away'], 'first')
      const { notification_id: second } = await sendToUsers(app, ['u', 'away'], 'second')
      using client = await socketOf(app, 'u')
      await client.take(2)
      client.send({ type: 'Ack', payload: { notification_id: first } })
      await client.nextOf('acked')
      await eventually(async () => (await statesOf(app, second))[0] === 'u received 1')
      return { first, second }
    })()
    await using app = await start(place)
    expect(await statesOf(app, ids.first)).toEqual(['u acked 1', 'away queued 0'])
    expect(await statesOf(app, ids.second)).toEqual(['u received 1', 'away queued 0'])
    using client = await socketOf(app, 'u')
    expect(payloads(await settle(client))).toEqual(['second'])
    await eventually(async () => (await statesOf(app, ids.second))[0] === 'u received 2')
    const { json } = await app.get('/api/v1/users/u/notifications')
    expect(json.notifications.map(({ state }: Message) => state)).toEqual(['acked', 'received'])
  })

  test('pending acknowledgements, so that their entries are redelivered in time', async () => {
    await using place = await storePlace()
    const fast = { ACK_TIMEOUT_SECONDS: '1' }
    {
      await using app = await start(place, fast)
      await send(app, 'u', 'again')
    }
    await using app = await start(place, fast)
    using client = await socketOf(app, 'u')
    expect(await client.next()).not.toHaveProperty('redelivered')
    expect(await client.next()).toMatchObject({ payload: 'again', redelivered: 1 })
  })

  test('receipts of clients without a cursor', async () => {
    await using place = await storePlace()
    {
      await using app = await start(place, { ACK_ENABLED: 'false' })
      using client = await socketOf(app, 'u')
      await send(app, 'u', 'read')
      expect((await client.next()).payload).toBe('read')
      // A message behind the pong: its answer shows that the receipt has taken effect.
      await settle(client)
    }
    await using app = await start(place, { ACK_ENABLED: 'false' })
    await send(app, 'u', 'unread')
    using client = await socketOf(app, 'u')
    expect(payloads(await settle(client))).toEqual(['unread'])
  })

  test('templates', async () => {
    await using place = await storePlace()
    {
      await using app = await start(place)
      expect((await app.post('/api/v1/templates', TEMPLATE)).status).toBe(201)
    }
    await using app = await start(place)
    expect((await app.get('/api/v1/templates')).json).toMatchObject({ total: 1, templates: [TEMPLATE] })
  })

  test('revoked tokens', async () => {
    await using place = await storePlace()
    const now = Math.floor(Date.now() / 1000)
    {
      await using app = await start(place)
      const { status } = await app.post('/api/v1/users/u/disconnect', { issued_before: now })
      expect(status).toBe(200)
    }
    await using app = await start(place)
    const ask = async (iat: number) => {
      const token = await app.token('u', { iat })
      return (await fetch(`${app.url}/api/v1/me/notifications?token=${token}`)).status
    }
    expect([await ask(now - 1), await ask(now)]).toEqual([401, 200])
  })

  test('idempotency keys and their answers', async () => {
    await using place = await storePlace()
    const claim = (key: string, id: string): Claim => ({ tenant: 'acme', key, fingerprint: 'f', id })
    {
      await using opened = await openPlace(place)
      const { idempotency } = opened.store
      await idempotency.reserve(claim('answered', '1'))
      idempotency.answer(claim('answered', '1'), '{"a":"\ud800"}')
      await idempotency.reserve(claim('open', '2'))
    }
    await using opened = await openPlace(place)
    const { idempotency } = opened.store
    expect(await idempotency.reserve(claim('answered', '3'))).toEqual({
      type: 'answered',
      answer: '{"a":"\ud800"}',
    })
    expect(await idempotency.reserve(claim('open', '4'))).toEqual({ type: 'in_progress', id: '2' })
    opened.clock.time += 30_001
    expect(await idempotency.reserve(claim('open', '5'))).toEqual({ type: 'reserved', id: '2' })
  })

  test('the answer to a send with an idempotency key, so that its repeat sends nothing', async () => {
    await using place = await storePlace()
    const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
    const ask = (app: TestApp) =>
      app.post('/api/v1/notifications/send', body, { 'idempotency-key': 'order-7' })
    const first = await (async () => {
      await using app = await start(place)
      return await ask(app)
    })()
    await using app = await start(place)
    const again = await ask(app)
    expect([again.status, again.text, again.headers.get('idempotency-replayed')]).toEqual([
      200,
      first.text,
      'true',
    ])
    expect((await app.get('/api/v1/users/u/notifications')).json.notifications).toHaveLength(1)
  })

  test('the number of entries per priority, so that overflow continues as before', async () => {
    await using place = await storePlace()
    const owner = userTopic('acme', 'ann')
    const draft = (id: string, priority: 'Low' | 'High') => ({
      owner,
      id,
      body: '{',
      eventType: 'e',
      occurredAt: 1,
      priority,
    })
    {
      await using opened = await openPlace(place)
      await opened.store.log.append([draft('1', 'High'), draft('2', 'Low'), draft('3', 'High')])
    }
    await using opened = await openPlace(place)
    const { log } = opened.store
    await log.append([draft('4', 'High'), draft('5', 'High')])
    const { entries, removedThrough } = await log.read(owner, 0, { entries: 10, bytes: 1_000 })
    expect([entries.map(({ seq }) => seq), removedThrough]).toEqual([[3, 4, 5], 2])
    expect(await log.totals()).toMatchObject({ messages: 3, users: 1 })
  })
})

for (const sync of ['full', 'normal'])
  test(`kill -9 during sends loses no accepted send, STORE_SYNC=${sync}`, async () => {
    await using place = await storePlace()
    const env = {
      STORE_URL: place.url,
      STORE_SYNC: sync,
      QUEUE_ENABLED: 'true',
      QUEUE_MAX_SIZE_PER_USER: '100000',
    }
    const answered = new Set<string>()
    {
      await using service = await startService(env)
      const sendOn = async (caller: number): Promise<void> => {
        for (let n = 0; ; n++) {
          const answer = await service.send(`u${caller % 4}`, `${caller}-${n}`)
          if (answer.status === 200) answered.add(((await answer.json()) as Message).notification_id)
        }
      }
      const callers = Array.from({ length: 16 }, (_, caller) => sendOn(caller).catch(() => 'cut'))
      await eventually(() => answered.size > 500)
      service.signal('SIGKILL')
      expect(new Set(await Promise.all(callers))).toEqual(new Set(['cut']))
    }
    await using service = await startService(env)
    const kept: string[] = []
    for (const user of ['u0', 'u1', 'u2', 'u3']) {
      let after = ''
      for (;;) {
        const url = `${service.url}/api/v1/users/${user}/notifications?limit=1000&after=${after}`
        const page = (await (await fetch(url, { headers: { 'x-api-key': API_KEY } })).json()) as Message
        kept.push(...page.notifications.map(({ id }: Message) => id))
        if (!page.has_more) break
        after = page.cursor
      }
    }
    expect(answered.size).toBeGreaterThan(500)
    expect([...answered].filter(id => !kept.includes(id))).toEqual([])
    expect(new Set(kept).size).toBe(kept.length)
  }, 30_000)
