import { expect, test } from 'bun:test'
import { createClient } from '../../client/src/index.ts'
import { startTestApp } from '../support/app.ts'
import { settingsFor, startExample } from '../support/example.ts'
import { createInbox } from '../support/inbox.ts'
import { startUnreliable, type Trouble } from '../support/unreliable.ts'
import { socketOf } from '../support/visit.ts'

/** Go compiles its library at the first run. */
const TEST_MS = 180_000
const ORDERS = 20

// Not installed for the tests: Debian's package takes 450 MB.
const hasGo = Bun.which('go') !== null
if (!hasGo) console.log('The example in Go is not tested without Go: type "apt-get install -y golang-go".')
const LANGUAGES = ['node', 'php', 'python', ...(hasGo ? ['go'] : [])]

test.concurrent.each(LANGUAGES)(
  'the backend in %s sends each notification once, although requests are refused and connections break',
  async language => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using troubled = await startUnreliable(service.url)
    await using backend = await startExample(language, settingsFor(troubled.url))
    const got = createInbox<unknown>()
    using follower = createClient<{ 'order.shipped': unknown }>({
      url: service.url,
      // The service accepts the token that the backend signs.
      token: async () => (await fetch(`${backend.url}/token`)).text(),
    })
    follower.on('order.shipped', ({ payload }) => got.push(payload))
    await follower.ready({ timeout: 10_000 })
    const ship = (order: number) => fetch(`${backend.url}/ship?order=${order}`, { method: 'POST' })

    for (const query of ['', '?order=', '?order=x'])
      expect((await fetch(`${backend.url}/ship${query}`, { method: 'POST' })).status).toBe(404)

    const busy = { status: 503, retryAfter: 0 }
    troubled.trouble('lost', 'reset', { status: 429, retryAfter: 1 }, busy)
    const orders = Array.from({ length: ORDERS }, (_, n) => ({ order: n + 1 }))
    for (const { order } of orders) expect((await ship(order)).status).toBe(200)
    const [, , refused, next] = troubled.requests
    expect((next?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThanOrEqual(1000)
    expect(troubled.requests.slice(0, 5).map(({ key }) => key)).toEqual(Array(5).fill('order-1-shipped'))

    const attempts = async (order: number, ...troubles: readonly Trouble[]) => {
      const before = troubled.requests.length
      troubled.trouble(...troubles)
      const response = await ship(order)
      const text = await response.text()
      return { status: response.status, text, attempts: troubled.requests.length - before }
    }
    const refusal = { status: 502, text: expect.stringMatching(/^NOT_NOW/) }
    expect(await attempts(97, { status: 422, retryAfter: 0 })).toEqual({ ...refusal, attempts: 1 })
    expect(await attempts(98, busy, busy, busy, busy, busy)).toEqual({ ...refusal, attempts: 5 })

    // Again: each key is known.
    for (const { order } of orders) expect((await ship(order)).status).toBe(200)
    expect((await ship(99)).status).toBe(200)
    expect(await got.take(ORDERS + 1)).toEqual([...orders, { order: 99 }])
  },
  TEST_MS,
)

test(
  'the backend in Node sends a batch once, and to a channel',
  async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using backend = await startExample('node', settingsFor(service.url))
    using alice = await socketOf(service, 'alice')
    alice.send({ type: 'Subscribe', payload: { channels: ['lobby'] } })
    await alice.nextOf('subscribed')
    const post = (path: string) => fetch(backend.url + path, { method: 'POST' })
    const bill = await post('/bill?month=May&user=alice&user=bob')
    expect(await bill.json()).toMatchObject({ total: 2, succeeded: 2, errors: [] })
    await post('/bill?month=May&user=alice&user=bob')
    await post('/say?room=lobby&text=hello')
    const payloads = (await alice.take(2)).map(({ payload }) => payload)
    expect(payloads).toEqual([{ month: 'May' }, { room: 'lobby', from: 'alice', text: 'hello' }])
    expect((await service.get('/api/v1/users/bob/notifications')).json.notifications).toHaveLength(1)
    expect(await (await post('/say?room=two%20words&text=hello')).text()).toBe('VALIDATION_ERROR')
  },
  TEST_MS,
)
