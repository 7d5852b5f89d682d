import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { type Answer, startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { connectRaw } from '../support/raw-socket.ts'

const PATH = '/api/v1/notifications/batch'
const NO_ID = '00000000-0000-0000-0000-000000000000'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const toUser = (user: string, event_type = 'e', payload: unknown = 1) => ({
  target: { type: 'user', value: user },
  event_type,
  payload,
})
const post = (service: TestApp, notifications: unknown, options?: unknown): Promise<Answer> =>
  service.post(PATH, { notifications, ...(options !== undefined && { options }) })
const statusesOf = ({ json }: Answer): unknown[] =>
  json.results.map(
    (result: { status?: string; code?: string; success: boolean }) =>
      result.status ?? result.code ?? (result.success ? 'duplicate' : 'stopped'),
  )
const codeOf = ({ status, json }: Answer): string => `${status} ${json.error?.code}`
const tooLarge = 'x'.repeat(65_535)

describe('a batch', () => {
  test('answers each item in order, with a summary that adds up', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    using socket = await connectSocket(`${service.url}/ws?token=${await service.token('here')}&cursor=`)
    await socket.nextOf('connected')

    const answer = await post(
      service,
      [toUser('here'), toUser('here', 'e', 2), toUser('here', 'big', tooLarge), toUser('away')],
      { deduplicate: true },
    )

    const { results, summary, batch_id, timestamp } = answer.json
    expect(answer.status).toBe(200)
    expect(batch_id).toMatch(UUID)
    expect(timestamp).toMatch(TIMESTAMP)
    expect(summary).toEqual({
      total: 4,
      succeeded: 2,
      failed: 1,
      skipped: 1,
      total_delivered: 1,
      total_queued: 1,
    })
    const [first, second, third, fourth] = results
    const counts = { delivered_to: 0, failed: 0, queued: 0 }
    expect(first).toEqual({
      index: 0,
      notification_id: first.notification_id,
      ...counts,
      delivered_to: 1,
      success: true,
      status: 'delivered',
    })
    expect(second).toEqual({ index: 1, notification_id: NO_ID, ...counts, success: true, skipped: true })
    expect(third).toEqual({
      index: 2,
      notification_id: NO_ID,
      ...counts,
      success: false,
      error: third.error,
      code: 'PAYLOAD_TOO_LARGE',
    })
    expect(fourth).toEqual({
      index: 3,
      notification_id: fourth.notification_id,
      ...counts,
      queued: 1,
      success: true,
      status: 'queued',
    })
    expect([first.notification_id, fourth.notification_id].every(id => UUID.test(id))).toBe(true)
    const frame = await socket.nextOf('notification')
    expect([frame.id, frame.payload, frame.metadata]).toEqual([
      first.notification_id,
      1,
      { source: 'http-api', priority: 'Normal' },
    ])
  })

  test('accepts every kind of target, and applies audience to broadcasts only', async () => {
    await using service = await startTestApp()
    using socket = await connectSocket(
      `${service.url}/ws?token=${await service.token('u', { roles: ['a'] })}`,
    )
    socket.send({ type: 'Subscribe', payload: { channels: ['c', 'd'] } })
    await socket.nextOf('subscribed')
    const item = (target: unknown, more: object = {}) => ({ target, event_type: 'e', payload: null, ...more })
    const others = { audience: { type: 'Roles', value: ['b'] } }

    const answer = await post(service, [
      item({ type: 'user', value: 'u' }, others),
      item({ type: 'users', value: ['u', 'u', 'v'] }),
      item({ type: 'broadcast' }),
      item({ type: 'broadcast', value: null }, others),
      item({ type: 'channel', value: 'c' }),
      item({ type: 'channels', value: ['c', 'd', 'none'] }),
    ])

    expect(statusesOf(answer)).toEqual([
      'delivered',
      'partial',
      'delivered',
      'no_recipient',
      'delivered',
      'delivered',
    ])
    expect(answer.json.summary.total_delivered).toBe(5)
  })

  test('takes effect in the order of its items', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    using socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}&cursor=`)
    await socket.nextOf('connected')
    await post(
      service,
      Array.from({ length: 100 }, (_, n) =>
        n % 2 ? toUser('u', 'e', n) : { ...toUser('u', 'e', n), target: { type: 'broadcast' } },
      ),
    )
    const frames = await socket.inbox.take(100)
    expect(frames.map(frame => frame.payload)).toEqual(Array.from({ length: 100 }, (_, n) => n))
  })

  test('keeps the digits and key order of each payload', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    using socket = await connectRaw(service.port, `/ws?token=${await service.token('u')}`)
    const payloads = ['1.10', '{"b":1,"1":12345678901234567890}', '"\\ud800"', 'null']
    const items = payloads.map(
      payload => `{"payload":${payload},"target":{"value":"u","type":"user"},"event_type":"e"}`,
    )
    await service.post(PATH, `{"notifications":[${items.join(',')}]}`)
    const texts: string[] = []
    while (texts.length < payloads.length) {
      const { opcode, payload } = await socket.frames.next()
      if (opcode === 1) texts.push(payload.toString())
    }
    expect(texts.map(text => /"payload":(.*),"metadata"/.exec(text)?.[1])).toEqual(payloads)
  })

  test('with stop_on_error stops after the first failure; an item queued for an offline user is no failure', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const answer = await post(
      service,
      [toUser('away'), toUser('away', 'big', tooLarge), toUser('away'), toUser('b', 'f')],
      {
        stop_on_error: true,
      },
    )
    expect(statusesOf(answer)).toEqual(['queued', 'PAYLOAD_TOO_LARGE', 'stopped', 'stopped'])
    expect(answer.json.results[3]).toEqual({
      index: 3,
      notification_id: NO_ID,
      delivered_to: 0,
      failed: 0,
      queued: 0,
      success: false,
      skipped: true,
      error: answer.json.results[3].error,
    })
    expect(answer.json.summary).toEqual({
      total: 4,
      succeeded: 1,
      failed: 1,
      skipped: 2,
      total_delivered: 0,
      total_queued: 1,
    })
    expect((await service.get('/health')).json.queue.total_messages).toBe(1)
  })

  test('with stop_on_error stops at an item without recipients, but not at a duplicate', async () => {
    await using service = await startTestApp()
    using socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
    const options = { stop_on_error: true, deduplicate: true }
    const answer = await post(
      service,
      [toUser('u'), toUser('u'), toUser('nobody'), toUser('u', 'g')],
      options,
    )
    expect(statusesOf(answer)).toEqual(['delivered', 'duplicate', 'no_recipient', 'stopped'])
    await socket.nextOf('notification')
  })

  test('deduplicates by kind of target, set of targets and event type, not by joined text', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const users = (value: string[]) => ({ target: { type: 'users', value }, event_type: 'e', payload: 1 })
    const answer = await post(
      service,
      [
        users(['a', 'b']),
        users(['b', 'a', 'a']),
        users(['a,b']),
        users(['a","b']),
        toUser('a'),
        users(['a']),
        toUser('a', 'f'),
      ],
      { deduplicate: true },
    )
    expect(statusesOf(answer)).toEqual([
      'queued',
      'duplicate',
      'queued',
      'queued',
      'queued',
      'queued',
      'queued',
    ])
  })

  test('without deduplicate sends equal items twice', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    expect(statusesOf(await post(service, [toUser('a'), toUser('a')]))).toEqual(['queued', 'queued'])
  })

  test('reports too many values as a fault of the item', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const many = (length: number) => Array.from({ length }, (_, n) => `n${n}`)
    const answer = await post(service, [
      { target: { type: 'users', value: many(10_001) }, event_type: 'e', payload: 1 },
      { target: { type: 'channels', value: many(101) }, event_type: 'e', payload: 1 },
      {
        target: { type: 'broadcast' },
        event_type: 'e',
        payload: 1,
        audience: { type: 'Roles', value: many(101) },
      },
      toUser('a'),
    ])
    expect(statusesOf(answer)).toEqual(['VALIDATION_ERROR', 'VALIDATION_ERROR', 'VALIDATION_ERROR', 'queued'])
  })

  test('fails single items that the store rejects, and is 503 if the store rejects all', async () => {
    await using service = await startTestApp(
      { QUEUE_ENABLED: 'true' },
      {
        wrapStore: store => ({
          ...store,
          log: { ...store.log, append: () => Promise.reject(new StoreAway('full')) },
        }),
      },
    )
    const some = await post(service, [toUser('a'), { ...toUser('a'), target: { type: 'broadcast' } }])
    expect(statusesOf(some)).toEqual(['STORE_UNAVAILABLE', 'no_recipient'])
    const all = await post(service, [toUser('a'), toUser('b')])
    expect([codeOf(all), all.headers.get('retry-after')]).toEqual(['503 STORE_UNAVAILABLE', '1'])
  })

  test('accepts at most 100 items and 1,048,576 bytes', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const hundred = Array.from({ length: 100 }, (_, n) => toUser(`u${n}`))
    expect((await post(service, hundred)).json.summary.succeeded).toBe(100)
    expect(codeOf(await post(service, [...hundred, toUser('v')]))).toBe('400 BATCH_TOO_LARGE')
    const text = JSON.stringify({ notifications: [toUser('u')] })
    expect((await service.post(PATH, text + ' '.repeat(1_048_576 - text.length))).status).toBe(200)
    expect(codeOf(await service.post(PATH, text + ' '.repeat(1_048_577 - text.length)))).toBe(
      '413 PAYLOAD_TOO_LARGE',
    )
  })
})

describe('a malformed batch', () => {
  const good = toUser('u')
  const target = (value: unknown) => [{ ...good, target: value }]
  const rows: [what: string, body: unknown, answer: string, path?: string][] = [
    ['no notifications', {}, '422 VALIDATION_ERROR', 'notifications'],
    ['notifications null', { notifications: null }, '422 VALIDATION_ERROR', 'notifications'],
    ['notifications an object', { notifications: {} }, '422 VALIDATION_ERROR', 'notifications'],
    ['no items', { notifications: [] }, '400 VALIDATION_ERROR', 'notifications'],
    ['an item that is null', { notifications: [good, null] }, '422 VALIDATION_ERROR', 'notifications[1]'],
    [
      'an item without target',
      { notifications: [{ event_type: 'e', payload: 1 }] },
      '422 VALIDATION_ERROR',
      'notifications[0].target',
    ],
    [
      'an item without payload',
      { notifications: [good, { target: good.target, event_type: 'e' }] },
      '422 VALIDATION_ERROR',
      'notifications[1].payload',
    ],
    [
      'an unknown target type',
      { notifications: target({ type: 'group', value: 'u' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.type',
    ],
    [
      'a target type in another case',
      { notifications: target({ type: 'User', value: 'u' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.type',
    ],
    [
      'a user that is a list',
      { notifications: target({ type: 'user', value: ['u'] }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    [
      'users that are a text',
      { notifications: target({ type: 'users', value: 'u' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    [
      'a user without value',
      { notifications: target({ type: 'user' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    [
      'a broadcast with a value',
      { notifications: target({ type: 'broadcast', value: 'x' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    [
      'a channel nobody could subscribe to',
      { notifications: target({ type: 'channel', value: 'a b' }) },
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    [
      'a priority of another case',
      { notifications: [{ ...good, priority: 'high' }] },
      '422 VALIDATION_ERROR',
      'notifications[0].priority',
    ],
    [
      'a ttl with a fraction',
      '{"notifications":[{"target":{"type":"user","value":"u"},"event_type":"e","payload":1,"ttl":5.0}]}',
      '422 VALIDATION_ERROR',
      'notifications[0].ttl',
    ],
    [
      'a key given twice in an item',
      '{"notifications":[{"target":{"type":"user","value":"u"},"event_type":"e","event_\\u0074ype":"f","payload":1}]}',
      '422 VALIDATION_ERROR',
      'notifications[0].event_type',
    ],
    [
      'a key given twice in a target',
      '{"notifications":[{"target":{"type":"user","value":"u","value":"v"},"event_type":"e","payload":1}]}',
      '422 VALIDATION_ERROR',
      'notifications[0].target.value',
    ],
    ['options null', { notifications: [good], options: null }, '422 VALIDATION_ERROR', 'options'],
    ['options a list', { notifications: [good], options: [true] }, '422 VALIDATION_ERROR'],
    [
      'stop_on_error a number',
      { notifications: [good], options: { stop_on_error: 1 } },
      '422 VALIDATION_ERROR',
      'options.stop_on_error',
    ],
    [
      'an option given twice',
      '{"notifications":[],"options":{"deduplicate":true,"deduplicate":false}}',
      '422 VALIDATION_ERROR',
      'options.deduplicate',
    ],
    ['a list', [good], '422 VALIDATION_ERROR'],
    ['no JSON', '{"notifications":[', '400 INVALID_JSON'],
    ['65 levels', `{"notifications":${'['.repeat(64)}${']'.repeat(64)}}`, '400 INVALID_JSON'],
  ]

  for (const [what, body, expected, path] of rows)
    test(`with ${what} is rejected as a whole, and nothing is sent`, async () => {
      await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
      const answer = await service.post(PATH, body)
      expect(codeOf(answer)).toBe(expected)
      const paths = answer.json.error.details?.map((each: { path: string }) => each.path) ?? []
      expect(path === undefined || paths.includes(path)).toBe(true)
      expect((await service.get('/health')).json.queue.total_messages).toBe(0)
    })
})
