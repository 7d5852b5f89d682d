import { expect, test } from 'bun:test'
import { API_KEY, startTestApp } from '../support/app.ts'
import { createStoppedClock } from '../support/clock.ts'
import { eventually, publish, rawOf, send, sendToUsers, socketOf, streamOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const AT = '/api/v1'
const STRANGE = '11111111-1111-4111-8111-111111111111'

test('a notification is found by its id, with the delivery status per recipient', async () => {
  const clock = createStoppedClock()
  await using app = await startTestApp(LOG_ON, { clock })
  // A client that answers no ping.
  await rawOf(app, 'b', { answerPings: false })
  const occurred = new Date(clock.now()).toISOString()
  const { notification_id: id } = await sendToUsers(app, ['c', 'b', 'a', 'b'], 1)
  const answer = await app.get(`${AT}/notifications/${id}`)
  expect(answer.json).toEqual({
    id,
    event_type: 'e',
    occurred_at: occurred,
    recipients: [
      { user_id: 'c', state: 'queued', attempts: 0, at: occurred },
      { user_id: 'b', state: 'sent', attempts: 1, at: occurred },
      { user_id: 'a', state: 'queued', attempts: 0, at: occurred },
    ],
  })
  const page = async (query: string) =>
    (await app.get(`${AT}/notifications/${id}?${query}`)).json.recipients.map(
      ({ user_id }: { user_id: string }) => user_id,
    )
  expect(await page('limit=2')).toEqual(['c', 'b'])
  expect(await page('limit=2&after=b')).toEqual(['a'])
  expect(await page('after=a')).toEqual([])

  const short = await send(app, 'a', 1, { ttl: 5 })
  const { json } = await app.get(`${AT}/notifications/${short.notification_id.toUpperCase()}`)
  expect(Date.parse(json.expires_at) - Date.parse(json.occurred_at)).toBe(5_000)
  clock.jump(5.001)
  expect((await app.get(`${AT}/users/a/notifications`)).json.notifications).toHaveLength(1)
  const late = (await app.get(`${AT}/notifications/${short.notification_id}`)).json.recipients
  expect(late).toEqual([
    { user_id: 'a', state: 'expired', attempts: 0, at: new Date(clock.now()).toISOString() },
  ])
})

test('a notification is `received` from the moment a device of the user proves it', async () => {
  const clock = createStoppedClock()
  await using app = await startTestApp(LOG_ON, { clock })
  const silent = await rawOf(app, 'silent', { answerPings: false })
  const client = await socketOf(app, 'u')
  const statesOf = async (id: string) => (await app.get(`${AT}/notifications/${id}`)).json.recipients
  const sentAt = new Date(clock.now()).toISOString()
  const { notification_id: id } = await sendToUsers(app, ['silent', 'u', 'away'], 1)
  await client.next()
  await eventually(async () => (await statesOf(id))[1].state === 'received')
  clock.jump(10)
  const { cursor } = (await app.get(`${AT}/users/silent/notifications`)).json
  expect(await statesOf(id)).toEqual([
    { user_id: 'silent', state: 'sent', attempts: 1, at: sentAt },
    { user_id: 'u', state: 'received', attempts: 1, at: sentAt },
    { user_id: 'away', state: 'queued', attempts: 0, at: sentAt },
  ])
  // A cursor at connect proves delivery like a pong.
  silent.reset()
  using resumed = await streamOf(app, 'silent', { cursor })
  await resumed.next()
  await eventually(async () => (await statesOf(id))[0].state === 'received')
  expect((await statesOf(id))[0].at).toBe(new Date(clock.now()).toISOString())
  expect(
    await Promise.all(
      ['silent', 'u', 'away'].map(async user =>
        (await app.get(`${AT}/users/${user}/notifications`)).json.notifications.map(
          ({ state }: { state: string }) => state,
        ),
      ),
    ),
  ).toEqual([['received'], ['received'], ['queued']])
})

test('no notification is found for a crowd, a ttl of 0, an unknown or invalid id, or with the log off', async () => {
  await using app = await startTestApp(LOG_ON)
  await using off = await startTestApp()
  await socketOf(app, 'u')
  const crowd = await publish(app, 'c', 1)
  const fleeting = await send(app, 'u', 1, { ttl: 0 })
  const unlogged = await send(off, 'u', 1)
  const ids = [crowd.notification_id, fleeting.notification_id, STRANGE, 'x', '%20', '%zz']
  const answers = await Promise.all(ids.map(id => app.get(`${AT}/notifications/${id}`)))
  answers.push(await off.get(`${AT}/notifications/${unlogged.notification_id}`))
  expect(answers.map(({ status, json }) => [status, json.error.code])).toEqual([
    ...Array(5).fill([404, 'NOTIFICATION_NOT_FOUND']),
    [400, 'VALIDATION_ERROR'],
    [404, 'NOTIFICATION_NOT_FOUND'],
  ])
})

test('a log is listed oldest first and page by page, with payloads exactly as sent', async () => {
  await using app = await startTestApp(LOG_ON)
  const raw = (n: number) =>
    `{"target_user_id":"u","event_type":"e","payload":{"z":1.10,"a":[1e400,-0],"n":${n}}}`
  for (const n of [1, 2, 3]) await app.post(`${AT}/notifications/send`, raw(n))
  const all = await app.get(`${AT}/users/u/notifications`)
  expect(all.headers.get('content-type')).toStartWith('application/json')
  expect(all.headers.get('x-request-id')).toBeString()
  expect(all.headers.get('access-control-allow-origin')).toBe('*')
  expect(all.text).toContain('"payload":{"z":1.10,"a":[1e400,-0],"n":2}')
  const { notifications, ...rest } = all.json
  expect(notifications.map(({ payload }: { payload: { n: number } }) => payload.n)).toEqual([1, 2, 3])
  expect(notifications[0]).toMatchObject({ type: 'notification', event_type: 'e', state: 'queued' })
  const [, epoch] = /^(.+):3$/.exec(rest.cursor) ?? []
  expect(rest).toEqual({ user_id: 'u', cursor: `${epoch}:3`, has_more: false, recovered: true })
  const list = async (query: string) => {
    const { json } = await app.get(`${AT}/users/u/notifications?${query}`)
    const { notifications: found, user_id, ...more } = json
    return { n: found.map(({ payload }: { payload: { n: number } }) => payload.n), ...more }
  }
  expect(await list('limit=2')).toEqual({ n: [1, 2], cursor: `${epoch}:2`, has_more: true, recovered: true })
  expect(await list(`limit=2&after=${epoch}:2`)).toEqual({
    n: [3],
    cursor: `${epoch}:3`,
    has_more: false,
    recovered: true,
  })
  expect(await list(`after=${epoch}:3`)).toEqual({
    n: [],
    cursor: `${epoch}:3`,
    has_more: false,
    recovered: true,
  })
  for (const strange of ['other:1', `${epoch}:4`])
    expect(await list(`after=${strange}`)).toEqual({
      n: [1, 2, 3],
      cursor: `${epoch}:3`,
      has_more: false,
      recovered: false,
      reason: 'epoch_changed',
    })
})

test('the listing of a log reports entries lost to overflow, and changes nothing', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '2' })
  for (const n of [1, 2, 3]) await send(app, 'u', n)
  const first = (await app.get(`${AT}/users/u/notifications`)).json
  const [epoch] = first.cursor.split(':')
  const { json } = await app.get(`${AT}/users/u/notifications?after=${epoch}:0`)
  expect(json).toMatchObject({ recovered: false, reason: 'trimmed', cursor: `${epoch}:3` })
  expect(json.notifications.map(({ state }: { state: string }) => state)).toEqual(['queued', 'queued'])
  const client = await socketOf(app, 'u')
  expect((await client.take(2)).map(({ payload }) => payload)).toEqual([2, 3])
})

test('the log of an unknown user is empty, and so is every log with the log off', async () => {
  await using app = await startTestApp(LOG_ON)
  await using off = await startTestApp()
  const empty = { notifications: [], has_more: false, recovered: true }
  const { cursor, ...rest } = (await app.get(`${AT}/users/%C3%A4%2F%22/notifications`)).json
  expect(rest).toEqual({ user_id: 'ä/"', ...empty })
  expect(cursor).toEndWith(':0')
  expect((await off.get(`${AT}/users/u/notifications`)).json).toEqual({
    user_id: 'u',
    ...empty,
    cursor: null,
  })
})

test('an invalid query is rejected', async () => {
  await using app = await startTestApp(LOG_ON)
  const rows = [
    'limit=0',
    'limit=1001',
    'limit=x',
    'limit=1&limit=2',
    'after=nonsense',
    'after=a:1&after=a:1',
  ]
  for (const query of rows) {
    const { status, json } = await app.get(`${AT}/users/u/notifications?${query}`)
    expect([query, status, json.error.code]).toEqual([query, 400, 'VALIDATION_ERROR'])
  }
  expect((await app.get(`${AT}/users/%zz/notifications`)).status).toBe(400)
})

test('a tenant cannot look up notifications and logs of another tenant', async () => {
  await using app = await startTestApp({ ...LOG_ON, TENANT_ENABLED: 'true' })
  const acme = { 'x-tenant-id': 'acme', 'x-api-key': API_KEY }
  const { notification_id } = await send(app, 'u', 1)
  expect((await app.get(`${AT}/notifications/${notification_id}`)).status).toBe(200)
  expect((await app.get(`${AT}/notifications/${notification_id}`, acme)).status).toBe(404)
  expect((await app.get(`${AT}/users/u/notifications`, acme)).json.notifications).toEqual([])
})

test('/metrics counts entries that a log stores, replays, evicts, expires and redelivers', async () => {
  const clock = createStoppedClock()
  await using app = await startTestApp(
    { ...LOG_ON, ACK_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '2', QUEUE_CLEANUP_INTERVAL_SECONDS: '1' },
    { clock },
  )
  const counts = () => {
    const { queueEnqueued, queueReplayed, queueExpired, queueDropped, ackRedelivered } = app.app.stats
    return [queueEnqueued, queueReplayed, queueExpired, queueDropped, ackRedelivered]
  }
  for (const n of [1, 2, 3]) await send(app, 'u', n)
  expect(counts()).toEqual([3, 0, 0, 1, 0])
  const client = await socketOf(app, 'u')
  await client.take(2)
  await publish(app, 'nobody', 'crowds are not kept')
  expect(counts()).toEqual([3, 2, 0, 1, 0])
  clock.jump(31)
  const again = await client.take(2)
  expect(again.map(({ payload, redelivered }) => [payload, redelivered])).toEqual([
    [2, 1],
    [3, 1],
  ])
  expect(counts()).toEqual([3, 2, 0, 1, 2])
  client.send({ type: 'Ack', payload: { notification_id: again[0].id } })
  await client.nextOf('acked')
  clock.jump(3_600)
  await eventually(() => counts()[2] === 1)
  expect(counts().slice(0, 4)).toEqual([3, 2, 1, 1])
})
