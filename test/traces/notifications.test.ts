import { describe, expect, test } from 'bun:test'
import { createTestClock } from '../support/clock.ts'
import { only, placeOf, told, tracesOf } from '../support/traced.ts'
import { broadcast, publish, send, sendToUsers, settle, socketOf } from '../support/visit.ts'

const BATCH = '/api/v1/notifications/batch'
const LOG = { QUEUE_ENABLED: 'true' }
const ACK = { ...LOG, ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '5' }

test('a replay and a redelivery begin their own traces, linked to that of the send', async () => {
  const clock = createTestClock()
  const spans = await tracesOf(
    async app => {
      await send(app, 'u', 1)
      using client = await socketOf(app, 'u')
      await client.next()
      clock.jump(6)
      expect(await client.next()).toMatchObject({ payload: 1, redelivered: 1 })
    },
    ACK,
    { clock },
  )
  const [dispatch, replay, redelivery] = [
    only(spans, 'dispatch'),
    only(spans, 'replay'),
    only(spans, 'redelivery'),
  ]
  expect([replay, redelivery].map(told)).toEqual([
    { name: 'replay', kind: 'internal', failed: false, attributes: { 'ara.entries': 1 } },
    {
      name: 'redelivery',
      kind: 'internal',
      failed: false,
      attributes: { 'ara.entries': 1, 'ara.delivered_to': 1 },
    },
  ])
  for (const later of [replay, redelivery]) {
    expect([later.parentId, later.links]).toEqual(['', [placeOf(dispatch)]])
    expect(later.traceId).not.toBe(dispatch.traceId)
  }
  const read = only(spans, 'store.read')
  expect(told(read)).toEqual({
    name: 'store.read',
    kind: 'client',
    failed: false,
    attributes: { 'ara.store': 'memory', 'ara.entries': 1 },
  })
  expect(read.parentId).toBe(replay.spanId)
})

describe('a replay', () => {
  test('is linked to every send that it replays, in order', async () => {
    const spans = await tracesOf(async app => {
      for (let n = 0; n < 5; n++) await send(app, 'u', n)
      using client = await socketOf(app, 'u', { cursor: '' })
      await client.take(6)
    }, LOG)
    const dispatches = spans.filter(({ name }) => name === 'dispatch')
    expect(only(spans, 'replay').links).toEqual(dispatches.map(placeOf))
    expect(only(spans, 'replay').attributes).toEqual({ 'ara.entries': 5 })
  })

  test('with more sends than it can link counts them all', async () => {
    const spans = await tracesOf(
      async app => {
        for (let n = 0; n < 300; n++) await send(app, 'u', n)
        using client = await socketOf(app, 'u', { cursor: '' })
        await client.take(301)
      },
      { ...LOG, QUEUE_MAX_SIZE_PER_USER: '300' },
    )
    const replay = only(spans, 'replay')
    expect([replay.attributes['ara.entries'], replay.links.length]).toEqual([300, 128])
  })

  test('of untraced sends has no links', async () => {
    const unsampled = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' }
    const spans = await tracesOf(async app => {
      const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
      await app.post('/api/v1/notifications/send', body, unsampled)
      using client = await socketOf(app, 'u', { cursor: '' })
      await client.take(2)
    }, LOG)
    expect(spans.map(({ name }) => name)).toEqual(['HTTP GET /ws', 'store.read', 'replay'])
    expect(only(spans, 'replay').links).toEqual([])
  })

  test('has no span when nothing is read, nor for live deliveries', async () => {
    const spans = await tracesOf(async app => {
      using client = await socketOf(app, 'u', { cursor: '' })
      await client.next()
      await send(app, 'u', 1)
      await client.next()
    }, LOG)
    expect(spans.map(({ name }) => name)).not.toContain('replay')
    expect(only(spans, 'dispatch').attributes).toMatchObject({
      'ara.delivered_to': 1,
      'ara.status': 'delivered',
    })
  })
})

test('items of a batch are dispatches in one request, each with its append', async () => {
  const notifications = ['a', 'b'].map(value => ({
    target: { type: 'user', value },
    event_type: `of ${value}`,
    payload: 1,
  }))
  const spans = await tracesOf(app => app.post(BATCH, { notifications }), LOG)
  const request = only(spans, `HTTP POST ${BATCH}`)
  const dispatches = spans.filter(({ name }) => name === 'dispatch')
  const appends = spans.filter(({ name }) => name === 'store.append')
  expect(dispatches.map(({ parentId, attributes }) => [parentId, attributes['ara.event_type']])).toEqual([
    [request.spanId, 'of a'],
    [request.spanId, 'of b'],
  ])
  expect(appends.map(({ parentId }) => parentId)).toEqual(dispatches.map(({ spanId }) => spanId))
})

test('a send to several users is one append of as many entries', async () => {
  const spans = await tracesOf(app => sendToUsers(app, ['a', 'b', 'c', 'a'], 1), LOG)
  expect(only(spans, 'store.append').attributes['ara.entries']).toBe(3)
  expect(only(spans, 'dispatch').attributes).toMatchObject({ 'ara.target': 'users', 'ara.queued': 3 })
})

test('a send to a crowd or to an empty audience has no store span', async () => {
  const spans = await tracesOf(async app => {
    using client = await socketOf(app, 'u', { cursor: '' })
    await client.next()
    client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
    await client.nextOf('subscribed')
    await publish(app, 'c', 1)
    await broadcast(app, 2)
    await sendToUsers(app, [], 3)
    expect(await settle(client)).toHaveLength(2)
  }, LOG)
  const dispatches = spans.filter(({ name }) => name === 'dispatch')
  expect(
    dispatches.map(({ attributes }) => [
      attributes['ara.target'],
      attributes['ara.delivered_to'],
      attributes['ara.status'],
    ]),
  ).toEqual([
    ['channel', 1, 'delivered'],
    ['broadcast', 1, 'delivered'],
    ['users', 0, 'no_recipient'],
  ])
  expect(spans.filter(({ name }) => name.startsWith('store.'))).toEqual([])
})

test('a listing of a log is a read in its request', async () => {
  const spans = await tracesOf(async app => {
    await sendToUsers(app, ['u', 'v'], 1)
    await app.get('/api/v1/users/u/notifications')
    await fetch(`${app.url}/api/v1/me/notifications?token=${await app.token('v')}`)
  }, LOG)
  const reads = spans.filter(({ name }) => name === 'store.read')
  expect(reads.map(({ parentId, attributes }) => [parentId, attributes['ara.entries']])).toEqual([
    [only(spans, 'HTTP GET /api/v1/users/{user_id}/notifications').spanId, 1],
    [only(spans, 'HTTP GET /api/v1/me/notifications').spanId, 1],
  ])
})

test('a repeated request with a known key is a span without a dispatch', async () => {
  const spans = await tracesOf(async app => {
    const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
    const key = { 'idempotency-key': 'k-1' }
    for (let n = 0; n < 2; n++) await app.post('/api/v1/notifications/send', body, key)
  }, LOG)
  const POST = 'HTTP POST /api/v1/notifications/send'
  expect(spans.map(({ name }) => name)).toEqual(['store.append', 'dispatch', POST, POST])
  expect(only(spans, 'dispatch').parentId).toBe(spans[2]?.spanId ?? '')
})
