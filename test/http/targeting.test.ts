import { describe, expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { waysTo } from '../support/tenants.ts'
import { settle, socketOf, streamOf } from '../support/visit.ts'

const AT = '/api/v1/notifications'
const EVENT = { event_type: 'e', payload: 1 }
const LOGS = ['true', 'false']

const count = (messages: readonly Message[]): number =>
  messages.filter(({ type }) => type === 'notification').length

/** Sends that name several targets: directly, and as a batch item. */
const waysToMany = (kind: 'users' | 'channels', value: readonly string[]) => [
  kind === 'users'
    ? { path: `${AT}/send-to-users`, body: { ...EVENT, target_user_ids: value } }
    : { path: `${AT}/channels`, body: { ...EVENT, channels: value } },
  { path: `${AT}/batch`, body: { notifications: [{ ...EVENT, target: { type: kind, value } }] } },
]

for (const QUEUE_ENABLED of LOGS)
  test(`names that are given twice count once on every device, in a send and in a batch (QUEUE_ENABLED=${QUEUE_ENABLED})`, async () => {
    await using app = await startTestApp({ QUEUE_ENABLED })
    const devices = [await socketOf(app, 'u'), await socketOf(app, 'u'), await socketOf(app, 'v')]
    for (const [n, client] of devices.entries()) {
      client.send({ type: 'Subscribe', payload: { channels: ['a', 'b', 'a'].slice(n) } })
      await client.nextOf('subscribed')
    }
    const names = ['a', 'b', 'a', 'none', 'b']
    for (const { path, body } of [
      ...waysToMany('channels', names),
      ...waysToMany('users', ['u', 'v', 'u', 'v']),
    ]) {
      const { json } = await app.post(path, body)
      expect([path, (json.results?.[0] ?? json).delivered_to]).toEqual([path, 3])
      for (const client of devices) expect([path, count(await settle(client))]).toEqual([path, 1])
    }
    for (const client of devices) client.close()
  })

describe('names in any script', () => {
  const NAMES = ['Größe', 'заказы', '注文', 'क', '𝒜', 'caf\u00e9', '__proto__', 'a.b-c_d', '日'.repeat(64)]
  const USERS = [...NAMES, 'a/b', 'user:default:x', ' ', '😀', 'e\u0301', '*', 'x'.repeat(256)]

  for (const QUEUE_ENABLED of LOGS)
    test(`of users and channels reach exactly that user or channel, by every kind of send (QUEUE_ENABLED=${QUEUE_ENABLED})`, async () => {
      await using app = await startTestApp({ QUEUE_ENABLED })
      for (const [n, user] of USERS.entries()) {
        const channel = NAMES[n % NAMES.length] ?? ''
        using client = await socketOf(app, user)
        using stream = await streamOf(app, user)
        client.send({ type: 'Subscribe', payload: { channels: [channel] } })
        expect(await client.next()).toEqual({ type: 'subscribed', payload: [channel] })
        await stream.nextOf('connected')
        for (const way of waysTo(user, channel)) {
          const { json } = await app.post(way.path, way.body(1))
          const delivered = (json.results?.[0] ?? json).delivered_to
          expect([user, way.name, delivered]).toEqual([user, way.name, way.name.includes('channel') ? 1 : 2])
        }
        expect(count(await settle(client))).toBe(waysTo(user, channel).length)
        client.close()
        stream.close()
        await Promise.all([client.closed, stream.closed])
        expect((await app.post(`${AT}/channel`, { ...EVENT, channel })).json.delivered_to).toBe(0)
      }
    })

  test('that only resemble a user or channel reach no client', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'caf\u00e9')
    client.send({ type: 'Subscribe', payload: { channels: ['caf\u00e9', 'Straße'] } })
    await client.nextOf('subscribed')
    const to = async (path: string, target: object) =>
      (await app.post(`${AT}/${path}`, { ...EVENT, ...target })).json.delivered_to
    for (const user of ['cafe\u0301', 'Caf\u00e9', 'café ', ' caf\u00e9', 'caf\u00e9*', 'default:caf\u00e9'])
      expect([user, await to('send', { target_user_id: user })]).toEqual([user, 0])
    for (const channel of ['Caf\u00e9', 'caf', 'caf\u00e9s', 'STRASSE', 'Strasse', 'straße'])
      expect([channel, await to('channel', { channel })]).toEqual([channel, 0])
    expect(await settle(client)).toEqual([])
  })
})

describe('the claim `channels`', () => {
  for (const CHANNEL_ACCESS of ['open', 'claims'])
    test(`decides which sends reach a client (CHANNEL_ACCESS=${CHANNEL_ACCESS})`, async () => {
      await using app = await startTestApp({ CHANNEL_ACCESS })
      const tokens = {
        none: undefined,
        nothing: [],
        some: ['orders', 'team.*'],
        all: ['*'],
      } as const
      const wanted = ['orders', 'team.a', 'news']
      const heard: Record<string, readonly string[]> = {}
      for (const [name, channels] of Object.entries(tokens)) {
        using client = await socketOf(app, name, { claims: { channels } })
        client.send({ type: 'Subscribe', payload: { channels: wanted } })
        await settle(client)
        for (const channel of wanted) await app.post(`${AT}/channel`, { ...EVENT, payload: channel, channel })
        await app.post(`${AT}/broadcast`, {
          ...EVENT,
          payload: 'audience',
          audience: { type: 'Channels', value: ['news'] },
        })
        heard[name] = (await settle(client)).map(({ payload }: Message) => payload)
      }
      expect(heard).toEqual({
        none: CHANNEL_ACCESS === 'open' ? [...wanted, 'audience'] : [],
        nothing: [],
        some: ['orders', 'team.a'],
        all: [...wanted, 'audience'],
      })
    })
})
