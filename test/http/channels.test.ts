import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { socketOf } from '../support/visit.ts'

const AT = '/api/v1/channels'

test('the channel list shows names and subscriber counts, and drops a channel with its last subscriber', async () => {
  await using app = await startTestApp()
  expect((await app.get(AT)).json).toEqual({ channels: [], total_channels: 0 })
  const first = await socketOf(app, 'u')
  const second = await socketOf(app, 'u')
  first.send({ type: 'Subscribe', payload: { channels: ['b', 'Größe', 'a'] } })
  await first.nextOf('subscribed')
  second.send({ type: 'Subscribe', payload: { channels: ['b'] } })
  await second.nextOf('subscribed')
  const all = [
    { name: 'Größe', subscriber_count: 1 },
    { name: 'a', subscriber_count: 1 },
    { name: 'b', subscriber_count: 2 },
  ]
  expect((await app.get(AT)).json).toEqual({ channels: all, total_channels: 3 })
  expect((await app.get(`${AT}?limit=1`)).json).toEqual({ channels: all.slice(0, 1), total_channels: 3 })
  expect((await app.get(`${AT}?limit=1&after=a`)).json).toEqual({ channels: all.slice(2), total_channels: 3 })
  expect((await app.get(`${AT}?after=b`)).json).toEqual({ channels: [], total_channels: 3 })
  expect((await app.get(`${AT}/b`)).json).toEqual({ name: 'b', subscriber_count: 2 })
  expect((await app.get(`${AT}/Gr%C3%B6%C3%9Fe`)).json).toEqual({ name: 'Größe', subscriber_count: 1 })
  first.send({ type: 'Unsubscribe', payload: { channels: ['a', 'b', 'Größe'] } })
  await first.nextOf('unsubscribed')
  expect((await app.get(AT)).json).toEqual({
    channels: [{ name: 'b', subscriber_count: 1 }],
    total_channels: 1,
  })
  first.close()
  second.close()
})

test('the channel list orders thousands of channels, as a whole and page by page', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  const client = await socketOf(app, 'u')
  const names = Array.from({ length: 2_400 }, (_, n) => `channel-${(n * 7_919) % 2_400}`)
  for (let from = 0; from < names.length; from += 800) {
    client.send({ type: 'Subscribe', payload: { channels: names.slice(from, from + 800) } })
    await client.nextOf('subscribed')
  }
  const sorted = [...names].sort().map(name => ({ name, subscriber_count: 1 }))
  expect((await app.get(AT)).json).toEqual({ channels: sorted, total_channels: 2_400 })
  const paged: (typeof sorted)[number][] = []
  for (let after = ''; paged.length < 2_400; after = paged.at(-1)?.name ?? '') {
    const { channels, total_channels } = (await app.get(`${AT}?limit=1000&after=${after}`)).json
    expect(total_channels).toBe(2_400)
    expect(channels).toHaveLength(Math.min(1_000, 2_400 - paged.length))
    paged.push(...channels)
  }
  expect(paged).toEqual(sorted)
  client.close()
})

test('a channel without subscribers and a malformed request are rejected', async () => {
  await using app = await startTestApp()
  const rows: [path: string, status: number, code: string][] = [
    [`${AT}/none`, 404, 'CHANNEL_NOT_FOUND'],
    [`${AT}/no%20name`, 404, 'CHANNEL_NOT_FOUND'],
    [`${AT}/a%2Fb`, 404, 'CHANNEL_NOT_FOUND'],
    [`${AT}/%zz`, 400, 'VALIDATION_ERROR'],
    [`${AT}/%ff`, 400, 'VALIDATION_ERROR'],
    [`${AT}/`, 404, 'NOT_FOUND'],
    [`${AT}/a/b`, 404, 'NOT_FOUND'],
    [`${AT}?limit=0`, 400, 'VALIDATION_ERROR'],
    [`${AT}?limit=10001`, 400, 'VALIDATION_ERROR'],
    [`${AT}?limit=1.5`, 400, 'VALIDATION_ERROR'],
    [`${AT}?limit=`, 400, 'VALIDATION_ERROR'],
    [`${AT}?limit=1&limit=1`, 400, 'VALIDATION_ERROR'],
    [`${AT}?after=%ff%`, 400, 'VALIDATION_ERROR'],
  ]
  const answers: unknown[] = []
  for (const [path] of rows) {
    const { status, json } = await app.get(path)
    answers.push([path, status, json.error.code])
  }
  expect(answers).toEqual(rows)
})
