import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { broadcast, send, sendToUsers, socketOf, streamOf } from '../support/visit.ts'

const AT = '/api/v1/me/acks'
const ACK_ON = { ACK_ENABLED: 'true', QUEUE_ENABLED: 'true' }
const STRANGE = '11111111-1111-4111-8111-111111111111'

const post = async (app: TestApp, user: string, body: unknown) =>
  app.post(`${AT}?token=${await app.token(user)}`, body, { 'x-api-key': '' })

describe('HTTP acknowledgements', () => {
  test('accept ids in any form, also repeated, and list unknown and foreign ids', async () => {
    await using app = await startTestApp(ACK_ON)
    const { notification_id: mine } = await sendToUsers(app, ['u', 'v'], 1)
    const { notification_id: foreign } = await send(app, 'w', 1)
    const stream = await streamOf(app, 'u')
    await stream.nextOf('notification')
    const { notification_id: crowd } = await broadcast(app, 2)
    const { status, json } = await post(app, 'u', {
      notification_ids: [STRANGE, mine.toUpperCase(), foreign, mine, crowd],
    })
    expect([status, json]).toEqual([200, { acked: [mine, crowd], invalid: [STRANGE, foreign] }])
    expect((await post(app, 'u', { notification_ids: [mine] })).json).toEqual({ acked: [mine], invalid: [] })
    const { recipients } = (await app.get(`/api/v1/notifications/${mine}`)).json
    expect(recipients.map(({ state }: { state: string }) => state)).toEqual(['acked', 'queued'])
  })

  test('accept a cursor, which acknowledges every entry up to it', async () => {
    await using app = await startTestApp(ACK_ON)
    for (const n of [1, 2, 3]) await send(app, 'u', n)
    const { cursor } = (await app.get('/api/v1/users/u/notifications?limit=2')).json
    expect((await post(app, 'u', { cursor })).json).toEqual({ cursor, acked_count: 2 })
    expect((await post(app, 'u', { cursor })).json).toEqual({ cursor, acked_count: 0 })
    const client = await socketOf(app, 'u')
    expect((await client.next()).payload).toBe(3)
    const [epoch] = cursor.split(':')
    for (const wrong of ['other:1', `${epoch}:4`, 'nonsense', '']) {
      const { status, json } = await post(app, 'u', { cursor: wrong })
      expect([wrong, status, json.error.code]).toEqual([wrong, 400, 'VALIDATION_ERROR'])
    }
  })

  test('record nothing with acknowledgement off', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    const { notification_id } = await send(app, 'u', 1)
    expect((await post(app, 'u', { notification_ids: [notification_id] })).json).toEqual({
      acked: [],
      invalid: [],
    })
    expect((await post(app, 'u', { cursor: 'e:7' })).json).toEqual({ cursor: 'e:7', acked_count: 0 })
    const { recipients } = (await app.get(`/api/v1/notifications/${notification_id}`)).json
    expect(recipients[0].state).toBe('queued')
  })

  test('reject any other body', async () => {
    await using app = await startTestApp(ACK_ON)
    const rows: [body: unknown, status: number, code: string][] = [
      [{}, 422, 'VALIDATION_ERROR'],
      [{ notification_ids: null }, 422, 'VALIDATION_ERROR'],
      [{ notification_ids: [STRANGE], cursor: 'e:1' }, 422, 'VALIDATION_ERROR'],
      [{ notification_ids: STRANGE }, 422, 'VALIDATION_ERROR'],
      [{ notification_ids: ['x'] }, 422, 'VALIDATION_ERROR'],
      [{ notification_ids: [5] }, 422, 'VALIDATION_ERROR'],
      [{ cursor: 5 }, 422, 'VALIDATION_ERROR'],
      [[], 422, 'VALIDATION_ERROR'],
      ['{"cursor":"a:1","cursor":"a:2"}', 422, 'VALIDATION_ERROR'],
      [{ notification_ids: [] }, 400, 'VALIDATION_ERROR'],
      [{ notification_ids: Array(1_001).fill(STRANGE) }, 400, 'VALIDATION_ERROR'],
      ['{', 400, 'INVALID_JSON'],
      [' '.repeat(65_537), 413, 'PAYLOAD_TOO_LARGE'],
    ]
    for (const [body, status, code] of rows) {
      const answer = await post(app, 'u', body)
      expect([answer.status, answer.json.error.code]).toEqual([status, code])
    }
    expect((await app.post(AT, { cursor: 'e:1' })).json.error.code).toBe('UNAUTHORIZED')
    expect((await app.get(AT)).status).toBe(405)
  })
})
