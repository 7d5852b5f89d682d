import { expect, test } from 'bun:test'
import { API_KEY, startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket } from '../support/client.ts'
import { type Service, startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'

const AT = '/api/v1/notifications'
const many = (count: number, text: string) => `[${Array.from({ length: count }, () => text).join()}]`
const lists = (count: number) => many(count, '[]')

/** Longest answer time of `/health/live` during other work, in milliseconds. */
async function longestWait(service: Service, other: () => Promise<unknown>): Promise<number> {
  let done = false
  const ended = awaitedLater(
    other().finally(() => {
      done = true
    }),
  )
  let longest = 0
  while (!done) {
    const elapsed = startStopwatch(service.pid)
    await (await fetch(`${service.url}/health/live`)).text()
    longest = Math.max(longest, elapsed())
  }
  await ended
  return longest
}

const residentBytes = async (service: Service): Promise<number> =>
  Number(
    /^process_resident_memory_bytes (.*)$/m.exec(await (await fetch(`${service.url}/metrics`)).text())?.[1],
  )

const post = async (service: Service, path: string, body: string) => {
  const response = await fetch(service.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
    body,
  })
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers freely.
  const json: any = await response.json()
  return { status: response.status, json }
}

const ROWS: readonly (readonly [name: string, body: string, status: number, code: string])[] = [
  ['340,000 items that are lists', `{"notifications":${lists(349_000)}}`, 400, 'BATCH_TOO_LARGE'],
  [
    'one item with 340,000 lists as users',
    `{"notifications":[{"target":{"type":"users","value":${lists(340_000)}},"event_type":"e","payload":1}]}`,
    422,
    'VALIDATION_ERROR',
  ],
  [
    '100 items with 3,300 lists as users each',
    `{"notifications":${many(100, `{"target":{"type":"users","value":${lists(3_300)}},"event_type":"e","payload":1}`)}}`,
    422,
    'VALIDATION_ERROR',
  ],
  [
    '100 items with 100,000 keys given twice',
    `{"notifications":${many(100, `{${many(440, '"ttl":1.5,"ttl":2.5').slice(1, -1)}}`)}}`,
    422,
    'VALIDATION_ERROR',
  ],
  [
    '13,000 valid items',
    `{"notifications":${many(13_000, '{"target":{"type":"user","value":"u"},"event_type":"e","payload":1}')}}`,
    400,
    'BATCH_TOO_LARGE',
  ],
]

test.each(ROWS)(
  'a batch of %s delays no other request and uses little memory',
  async (_, body, status, code) => {
    await using service = await startService()
    await post(service, `${AT}/batch`, '{}')
    const before = await residentBytes(service)
    const longest = await longestWait(service, async () => {
      for (let n = 0; n < 3; n++) {
        const answer = await post(service, `${AT}/batch`, body)
        expect([answer.status, answer.json.error.code]).toEqual([status, code])
        expect(answer.json.error.details?.length ?? 0).toBeLessThanOrEqual(20)
      }
    })
    expect(longest).toBeLessThan(2_000)
    expect((await residentBytes(service)) - before).toBeLessThan(300 * 1024 * 1024)
  },
  30_000,
)

test('a Subscribe with 32,000 numbers is one invalid message and delays no other request', async () => {
  await using service = await startService()
  using client = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  const payload = `{"type":"Subscribe","payload":{"channels":${many(32_000, '1')}}}`
  const longest = await longestWait(service, async () => {
    for (let n = 0; n < 20; n++) {
      client.sendRaw(payload)
      expect(await client.next()).toMatchObject({ type: 'error', code: 'INVALID_MESSAGE' })
    }
  })
  expect(longest).toBeLessThan(2_000)
}, 30_000)

test('a Subscribe or Unsubscribe names at most 1,000 channels', async () => {
  await using service = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  using client = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  const channels = Array.from({ length: 1_001 }, (_, n) => `c${n}`)
  for (const type of ['Subscribe', 'Unsubscribe']) {
    client.send({ type, payload: { channels } })
    expect(await client.next()).toMatchObject({ type: 'error', code: 'INVALID_MESSAGE' })
    client.send({ type, payload: { channels: channels.slice(1) } })
    expect(await client.next()).toEqual({ type: `${type.toLowerCase()}d`, payload: channels.slice(1) })
  }
})

test('the error of a Subscribe lists at most 20 channels and truncates long names', async () => {
  await using service = await startTestApp()
  using client = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  const channels = ['x'.repeat(30_000), ...Array.from({ length: 99 }, (_, n) => `no channel ${n}`)]
  client.send({ type: 'Subscribe', payload: { channels } })
  const { code, message } = await client.next()
  const faults = message.split('; ')
  expect([code, faults.length, faults.at(-1)]).toEqual(['SUBSCRIPTION_ERROR', 21, '80 more'])
  expect(faults[0]).toBe(`${'x'.repeat(256)}…: invalid name`)
})

test('a long client message counts as several messages', async () => {
  await using service = await startTestApp({
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_WS_MESSAGES_PER_SECOND: '20',
  })
  using client = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  const ping = JSON.stringify({ type: 'Ping', filler: 'x'.repeat(60_000) })
  // Each costs 15 of 20 tokens: the second exceeds the limit.
  client.sendRaw(ping)
  client.sendRaw(ping)
  expect(await client.take(2)).toMatchObject([{ type: 'pong' }, { type: 'error', code: 'RATE_LIMITED' }])
})

test('a call or batch whose recipients times payload exceed 64 MiB is rejected and stores nothing', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const template = (id: string, size: number) => ({
    id,
    name: id,
    event_type: 'e',
    payload_template: 'x'.repeat(size - 2),
  })
  for (const [id, size] of [
    ['large', 60_000],
    ['small', 100],
  ] as const)
    expect((await service.post('/api/v1/templates', template(id, size))).status).toBe(201)
  const users = (from: number, count: number) => Array.from({ length: count }, (_, n) => `${from + n}`)
  const send = (template_id: string, count: number) =>
    service.post(`${AT}/send-to-users`, { target_user_ids: users(0, count), template_id })
  const over = await send('large', 1_200)
  expect([over.status, over.json.error.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  expect(over.json.error.message).toContain('67108864')
  expect((await send('large', 1_100)).status).toBe(200)
  expect((await send('small', 5_000)).status).toBe(200)

  const item = (template_id: string, from: number, count: number) => ({
    target: { type: 'users', value: users(from, count) },
    template_id,
  })
  const batch = (notifications: unknown[]) => service.post(`${AT}/batch`, { notifications })
  const tooMuch = await batch([item('large', 10_000, 600), item('large', 20_000, 600)])
  expect([tooMuch.status, tooMuch.json.error.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  const { json } = await service.get('/api/v1/users/10000/notifications')
  expect(json.notifications).toEqual([])
  const fits = await batch([item('large', 10_000, 600), item('small', 20_000, 4_000), item('none', 0, 9_000)])
  expect(fits.json.results.map(({ code, queued }: Record<string, unknown>) => code ?? queued)).toEqual([
    600,
    4_000,
    'VALIDATION_ERROR',
  ])
  const same = Array.from({ length: 5_000 }, () => 'one')
  const once = await service.post(`${AT}/send-to-users`, { target_user_ids: same, template_id: 'large' })
  expect(once.json).toMatchObject({ queued: 1 })
}, 30_000)

test('a batch item with a list that is too long fails alone, whatever the list contains', async () => {
  await using service = await startTestApp()
  const value = [...Array.from({ length: 100 }, (_, n) => `c${n}`), 'c100']
  const long = { target: { type: 'channels', value }, event_type: 'e', payload: 1 }
  const good = { target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }
  const { json } = await service.post(`${AT}/batch`, {
    notifications: [long, good, long],
    options: { deduplicate: true },
  })
  expect(json.results.map(({ code, status }: Record<string, unknown>) => code ?? status)).toEqual([
    'VALIDATION_ERROR',
    'no_recipient',
    'VALIDATION_ERROR',
  ])
})
