import { expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import type { Store } from '../../src/store/store.ts'
import { API_KEY, startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket } from '../support/client.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { startService } from '../support/service.ts'

const AT = '/api/v1/notifications'
const MEBIBYTE = 1024 * 1024
const TEXT = 'x'.repeat(30_000)
const HEADERS = { 'content-type': 'application/json', 'x-api-key': API_KEY }

const itemsFor = (user: string) =>
  Array.from({ length: 30 }, () => ({
    target: { type: 'user', value: user },
    event_type: 'e',
    payload: TEXT,
  }))

const templateOf = (n: number) => ({
  id: `t${String(n).padStart(3, '0')}`,
  name: 'n',
  event_type: 'e',
  payload_template: TEXT,
})

test('a page of a log ends at 1 MiB, and all pages together contain all entries', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' })
  for (let n = 0; n < 4; n++) await service.post(`${AT}/batch`, { notifications: itemsFor('u') })
  const authorization = `Bearer ${await service.token('u')}`
  for (const path of ['/api/v1/users/u/notifications', '/api/v1/me/notifications']) {
    const seqs: number[] = []
    let after = ''
    for (let hasMore = true; hasMore; ) {
      const { status, text, json } = await service.get(`${path}?limit=1000&after=${after}`, { authorization })
      expect(status).toBe(200)
      expect(text.length).toBeLessThan(MEBIBYTE + 64 * 1024)
      for (const { cursor } of json.notifications) seqs.push(Number(cursor.split(':')[1]))
      after = json.cursor
      hasMore = json.has_more
    }
    expect(seqs).toEqual(Array.from({ length: 120 }, (_, n) => n + 1))
  }
})

test('a page of templates ends at `limit` or 1 MiB', async () => {
  await using service = await startTestApp()
  const ids = Array.from({ length: 50 }, (_, n) => templateOf(n).id)
  for (let n = 0; n < 50; n++) await service.post('/api/v1/templates', templateOf(n))
  const first = await service.get('/api/v1/templates')
  expect(first.text.length).toBeLessThan(MEBIBYTE + 64 * 1024)
  expect([first.json.total, first.json.next]).toEqual([50, first.json.templates.at(-1).id])
  const listed: string[] = []
  let next: string | undefined = ''
  while (next !== undefined) {
    const { json } = await service.get(`/api/v1/templates?limit=7&after=${next}`)
    expect(json.templates.length).toBeLessThanOrEqual(7)
    expect(json.total).toBe(50)
    for (const { id } of json.templates) listed.push(id)
    next = json.next
  }
  expect(listed).toEqual(ids)
  expect((await service.get('/api/v1/templates?after=t049')).json).toEqual({ templates: [], total: 50 })
  for (const query of ['limit=0', 'limit=10001', 'limit=x', 'limit=1&limit=2', 'after=a&after=b'])
    expect((await service.get(`/api/v1/templates?${query}`)).status).toBe(400)
})

const rssOf = async (url: string): Promise<number> =>
  Number(/^process_resident_memory_bytes (.*)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1])

/** Sends requests for the path and reads nothing beyond the first part of each answer. */
function askWithoutReading(port: number, path: string, count: number) {
  const sockets: Socket[] = []
  const begun = Array.from({ length: count }, () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const socket = connect({ port, host: '127.0.0.1' })
    sockets.push(socket)
    socket.once('data', data => {
      socket.pause()
      resolve(data.toString().slice(9, 12))
    })
    socket.on('error', () => {})
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\n\r\n`)
    return promise
  })
  return {
    begun,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

test('unread listings use little memory and delay no other request', async () => {
  await using service = await startService({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' })
  const send = (path: string, body: unknown) =>
    fetch(service.url + path, { method: 'POST', headers: HEADERS, body: JSON.stringify(body) })
  for (let n = 0; n < 10; n++) await (await send(`${AT}/batch`, { notifications: itemsFor('u') })).text()
  for (let n = 0; n < 100; n++) await (await send('/api/v1/templates', templateOf(n))).text()
  const before = await rssOf(service.url)
  using logs = askWithoutReading(service.port, '/api/v1/users/u/notifications?limit=1000', 50)
  using templates = askWithoutReading(service.port, '/api/v1/templates', 50)
  const statuses = await Promise.all([...logs.begun, ...templates.begun])
  expect([...new Set(statuses)]).toEqual(['200'])
  expect((await rssOf(service.url)) - before).toBeLessThan(200 * MEBIBYTE)
}, 30_000)

test('one caller has few unread long answers at a time, and short answers do not wait for them', async () => {
  await using service = await startService({
    RATELIMIT_ENABLED: 'false',
    WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0',
  })
  using socket = await connectSocket(`ws://127.0.0.1:${service.port}/ws?token=${await service.token('u')}`)
  for (let n = 0; n < 120; n++) {
    const channels = Array.from({ length: 800 }, (_, m) => `${n}-${m}-${'x'.repeat(55)}`)
    socket.send({ type: 'Subscribe', payload: { channels } })
    await socket.nextOf('subscribed')
  }
  const before = await rssOf(service.url)
  for (const [path, statuses] of [
    ['/api/v1/channels', ['200', '429']],
    ['/api/v1/users/u/subscriptions', ['200']],
  ] as const) {
    using unread = askWithoutReading(service.port, path, 130)
    for (const status of statuses)
      await Promise.any(unread.begun.map(async each => expect(await each).toBe(status)))
    const answer = await fetch(`${service.url}/api/v1/users/u/presence`, { headers: HEADERS })
    expect(await answer.json()).toMatchObject({ online: true })
    expect((await rssOf(service.url)) - before).toBeLessThan(500 * MEBIBYTE)
  }
}, 30_000)

/** A store whose listings wait until the test releases them. */
function slowStore() {
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  let count = 0
  const wrapStore = (store: Store): Store => ({
    ...store,
    isUp: () => store.isUp(),
    templates: {
      ...store.templates,
      list: async (...given) => {
        count++
        if (count === 4) asked.resolve()
        await gate.promise
        return store.templates.list(...given)
      },
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  })
  return { wrapStore, open: gate.resolve, asked: asked.promise, count: () => count }
}

test('a caller may have 4 listings at once and 100 waiting; the next one is 429', async () => {
  const slow = slowStore()
  await using service = await startTestApp({ API_KEY: `${API_KEY},another-key-0123456789` }, slow)
  const list = (headers = {}) => service.get('/api/v1/templates', headers)
  const asked = awaitedLater(Array.from({ length: 124 }, () => list()))
  await slow.asked
  const refused = await Promise.race(asked)
  expect([refused.status, refused.json.error.code, refused.headers.get('retry-after')]).toEqual([
    429,
    'RATE_LIMITED',
    '1',
  ])
  expect(slow.count()).toBe(4)
  const other = awaitedLater(list({ 'x-api-key': 'another-key-0123456789' }))
  const over = Promise.withResolvers<void>()
  let refusals = 0
  for (const each of asked)
    void each.then(({ status }) => {
      if (status === 429 && ++refusals === 20) over.resolve()
    })
  await over.promise
  slow.open()
  expect((await other).status).toBe(200)
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  expect([200, 429].map(status => statuses.filter(each => each === status).length)).toEqual([104, 20])
})

test('an aborted listing and a HEAD request free their slots', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' })
  for (let n = 0; n < 2; n++) await service.post(`${AT}/batch`, { notifications: itemsFor('u') })
  const path = '/api/v1/users/u/notifications?limit=1000'
  for (let n = 0; n < 10; n++) {
    await fetch(service.url + path, { method: 'HEAD', headers: HEADERS })
    using exchange = await exchangeRaw(service.port, [`GET ${path} HTTP/1.1`, `X-API-Key: ${API_KEY}`])
    exchange.stall()
    exchange.reset()
  }
  expect((await service.get(path)).json.notifications.length).toBeGreaterThan(30)
})
