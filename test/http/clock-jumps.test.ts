import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { eventually, send, socketOf } from '../support/visit.ts'

const ENV = { QUEUE_ENABLED: 'true', QUEUE_MESSAGE_TTL_SECONDS: '600', QUEUE_CLEANUP_INTERVAL_SECONDS: '1' }
const USERS = ['u1', 'u2', 'u3', 'u4', 'u5']

for (const [how, seconds] of [
  ['forward by an hour', 3_600],
  ['back by an hour', -3_600],
] as const)
  test(`a clock that is set ${how} expires nothing kept for offline users, and is logged once`, async () => {
    const clock = createTestClock()
    await using app = await startTestApp(ENV, { clock })
    const held = async () =>
      Promise.all(
        USERS.map(async user =>
          (await app.get(`/api/v1/users/${user}/notifications`)).json.notifications.map(
            ({ payload }: { payload: unknown }) => payload,
          ),
        ),
      )
    for (const user of USERS) {
      await send(app, user, 'lasts')
      await send(app, user, 'short', { ttl: 300 })
    }
    const { notification_id: id } = await send(app, 'other', 1)
    const before = (await app.get(`/api/v1/notifications/${id}`)).json.recipients
    clock.setAhead(seconds)
    await eventually(() => app.lines.some(({ event }) => event === 'clock.jumped'))
    for (const user of USERS) await send(app, user, 'after', { ttl: 300 })
    expect(await held()).toEqual(USERS.map(() => ['lasts', 'short', 'after']))

    const statesOf = async () => (await app.get(`/api/v1/notifications/${id}`)).json.recipients
    expect(await statesOf()).toEqual(before)
    const client = await socketOf(app, 'other')
    await client.next()
    await eventually(async () => (await statesOf())[0].state === 'received')
    expect(Math.abs(Date.parse((await statesOf())[0].at) - clock.now())).toBeLessThan(60_000)

    // Elapsed time still counts.
    clock.jump(301)
    expect(await held()).toEqual(USERS.map(() => ['lasts']))
    clock.jump(300)
    expect(await held()).toEqual(USERS.map(() => []))
    expect(app.lines.filter(({ event }) => event === 'clock.jumped')).toMatchObject([
      { level: 'warn', seconds },
    ])
  })

test('a client that was offline while the clock was set forward receives everything when it reconnects', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(ENV, { clock })
  for (const payload of [1, 2, 3]) await send(app, 'u', payload)
  clock.setAhead(3_000)
  const client = await socketOf(app, 'u')
  expect((await client.take(3)).map(({ payload }) => payload)).toEqual([1, 2, 3])
})
