import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'

const AT = '/api/v1/notifications'
const CONTENT = { event_type: 'e', payload: 1 }

test.each(['.', '..'])('%j is no valid name of a user or channel', async name => {
  await using service = await startTestApp()
  const sends: readonly (readonly [path: string, body: object, at: string])[] = [
    ['send', { target_user_id: name }, 'target_user_id'],
    ['send-to-users', { target_user_ids: ['u', name] }, 'target_user_ids[1]'],
    ['channel', { channel: name }, 'channel'],
    ['channels', { channels: ['c', name] }, 'channels[1]'],
    ['broadcast', { audience: { type: 'Users', value: [name] } }, 'audience.value[0]'],
    ['broadcast', { audience: { type: 'Channels', value: [name] } }, 'audience.value[0]'],
  ]
  for (const [path, body, at] of sends) {
    const { status, json } = await service.post(`${AT}/${path}`, { ...body, ...CONTENT })
    expect([path, status, json.error.details[0].path]).toEqual([path, 422, at])
  }
  for (const type of ['user', 'channel']) {
    const notifications = [{ target: { type, value: name }, ...CONTENT }]
    expect((await service.post(`${AT}/batch`, { notifications })).status).toBe(422)
  }

  using client = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  client.send({ type: 'Subscribe', payload: { channels: [name, 'a.b', '...'] } })
  expect(await client.take(2)).toMatchObject([
    { type: 'subscribed', payload: ['a.b', '...'] },
    { type: 'error', code: 'SUBSCRIPTION_ERROR', message: `${name}: invalid name` },
  ])
  const refused = await fetch(`${service.url}/sse?token=${await service.token(name)}`)
  expect(refused.status).toBe(401)
})
