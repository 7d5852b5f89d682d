import { describe, expect, test } from 'bun:test'
import { createClient } from '../../client/src/index.ts'
import { startTestApp } from '../support/app.ts'
import { follow, upTo } from '../support/ara.ts'
import { eventually, publish, send } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true' }
const ACK = { ...LOG, ACK_ENABLED: 'true' }

describe('a name that no channel can have', () => {
  const lists: readonly [string[]][] = [[['a,b']], [['']], [['room', '']], [['room', ',']]]

  test.each(lists)('is refused by a stream, once: %j', async names => {
    await using service = await startTestApp(LOG)
    let opened = 0
    using ann = follow({
      url: service.url,
      token: () => service.token('ann'),
      WebSocket: undefined,
      fetch: (url, init) => {
        if (url.includes('/sse')) opened++
        return fetch(url, init)
      },
    })
    ann.client.subscribe(...names)
    await ann.client.ready()
    expect(ann.client.connection).toMatchObject({ state: 'online', error: { code: 'SUBSCRIPTION_ERROR' } })
    expect(opened).toBe(2)
  })

  test.each(lists)('is refused over a WebSocket, and others are joined: %j', async names => {
    await using service = await startTestApp(LOG)
    using ann = follow({ url: service.url, token: () => service.token('ann') })
    ann.client.subscribe(...names)
    await ann.client.ready()
    expect(ann.client.connection).toMatchObject({ state: 'online', error: { message: expect.any(String) } })
    ann.client.subscribe('hall')
    await ann.client.ready()
    await publish(service, 'hall', 1)
    expect(await ann.got.next()).toBe(1)
  })
})

test.each(['websocket', 'sse'])('a number is the name that it is written as (%s)', async transport => {
  await using service = await startTestApp(LOG)
  using ann = follow({
    url: service.url,
    token: () => service.token('ann'),
    ...(transport === 'sse' && { WebSocket: undefined }),
  })
  const leave = ann.client.subscribe(5 as never)
  await ann.client.ready()
  await publish(service, '5', 1)
  expect(await ann.got.next()).toBe(1)
  leave()
  await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
})

describe('a token', () => {
  test.each(['websocket', 'sse'])('may end with a newline (%s)', async transport => {
    await using service = await startTestApp(LOG)
    using ann = follow({
      url: service.url,
      token: async () => `${await service.token('ann')}\n`,
      ...(transport === 'sse' && { WebSocket: undefined }),
    })
    await ann.client.ready()
    expect(ann.client.connection).toEqual({ state: 'online', transport })
  })

  test.each([
    ['in quotes', JSON.stringify],
    ['that is a number', () => 5],
    ['that is an object', (token: string) => ({ token })],
  ])('%s shows in `connection.error`, and the next one is used', async (_, spoil) => {
    await using service = await startTestApp(LOG)
    let asked = 0
    using ann = follow({
      url: service.url,
      token: async () => {
        const token = await service.token('ann')
        return asked++ === 0 ? (spoil(token) as string) : token
      },
      random: () => 0,
    })
    await ann.client.ready()
    expect(ann.states.all.find(({ state }) => state === 'waiting')?.error?.code).toBe('TOKEN')
  })

  test('may be asked for by a function that closes the client', async () => {
    let timers = 0
    const client = createClient({
      url: 'http://127.0.0.1:9',
      token: () => {
        client.close()
        return ''
      },
      clock: {
        now: Date.now,
        setTimeout: () => ++timers,
        clearTimeout: timer => {
          if (timer !== undefined) timers--
        },
      },
    })
    await expect(client.ready()).rejects.toMatchObject({ code: 'CLOSED' })
    expect([client.connection, timers]).toEqual([{ state: 'closed' }, 0])
  })
})

test('a place that cannot be saved is reported, and notifications are acknowledged', async () => {
  await using service = await startTestApp(ACK)
  const errors: unknown[] = []
  using ann = follow({
    url: service.url,
    token: () => service.token('ann'),
    cursor: {
      load: () => null,
      save: () => {
        throw new Error('full')
      },
    },
    onError: error => errors.push(String(error)),
  })
  for (const payload of upTo(3)) await send(service, 'ann', payload)
  expect(await ann.got.take(3)).toEqual(upTo(3))
  await eventually(async () => (await service.get('/stats')).json.ack.total_acked === 3)
  expect(errors).toContain('Error: full')
})
