import { expect, test } from 'bun:test'
import { connect, createServer } from 'node:net'
import { API_KEY, SECRET } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket, connectStream, type Message } from '../support/client.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { connectRaw } from '../support/raw-socket.ts'
import { spawnService as spawn, startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'

const CLOSE = 8
/** Tolerance for a busy machine, beyond the promised seconds. */
const BUSY_MS = 1_500

const shutdown = { type: 'shutdown', reason: expect.any(String), reconnect_after_seconds: expect.any(Number) }
const clean = { code: 0, stderr: '' }

test('SIGTERM with open SSE streams ends within the grace period: every stream gets `shutdown` and ends, sends are served meanwhile, the exit code is 0.', async () => {
  await using service = await startService({ DRAIN_SECONDS: '2', QUEUE_ENABLED: 'true' })
  const { port, url } = service
  const v1 = await connectSocket(`${url}/ws?token=${await service.token('v1')}`)
  const optedIn = await connectSocket(`${url}/ws?token=${await service.token('opted-in')}&cursor=`)
  const stream = await connectStream(`${url}/sse?token=${await service.token('stream')}`)
  const silent = await connectRaw(port, `/ws?token=${await service.token('silent')}`, [], {
    answerPings: false,
  })
  const others = await Promise.all(
    Array.from({ length: 4 }, async (_, n) =>
      connectSocket(`${url}/ws?token=${await service.token(`other-${n}`)}`),
    ),
  )
  using idle = await exchangeRaw(port, ['GET /health/live HTTP/1.1'])
  using kept = await exchangeRaw(port, ['GET /health/live HTTP/1.1'])
  expect(kept.head.toLowerCase()).not.toContain('connection: close')
  await optedIn.nextOf('connected')
  await stream.nextOf('connected')

  service.signal('SIGTERM')
  const elapsed = startStopwatch()
  await service.line('drain.started')
  const ready = await fetch(`${url}/health/ready`)
  expect([ready.status, ready.headers.get('connection')]).toEqual([503, 'close'])
  expect(await ready.json()).toMatchObject({
    error: { code: 'NOT_READY' },
    status: 'not_ready',
    reasons: ['draining'],
  })
  const sent = await service.send('away', 1)
  expect([sent.status, sent.headers.get('connection')]).toEqual([200, 'close'])
  expect(await sent.json()).toMatchObject({ success: true, queued: 1, status: 'queued' })
  const live = await fetch(`${url}/health/live`)
  expect([live.status, live.headers.get('connection')]).toEqual([200, 'close'])
  const refused = await fetch(`${url}/sse?token=${await service.token('late')}`)
  expect([refused.status, ((await refused.json()) as Message).error.code]).toEqual([503, 'SHUTTING_DOWN'])
  // The server answers one more request on the kept-alive connection, then closes it.
  kept.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(await kept.until(text => text.includes('{"status":"alive"}HTTP/1.1 200 OK'))).toMatch(
    /connection: close/i,
  )

  for (const client of [v1, optedIn, ...others]) {
    expect(await client.closed).toEqual({ code: 1012, reason: expect.any(String) })
    const last = client.inbox.all.at(-1)
    expect(last.reconnect_after_seconds).toBeWithin(1, 6)
    expect(last).toEqual(shutdown)
    expect(client.inbox.all.filter(({ type }) => type === 'shutdown')).toHaveLength(1)
  }
  await stream.closed
  const end = stream.inbox.all.at(-1)
  const retry = String(end?.data.reconnect_after_seconds * 1000)
  expect(end).toMatchObject({ event: 'shutdown', retry, data: shutdown })
  await silent.closed
  expect(silent.messages.at(-1)).toEqual(shutdown)
  const close = silent.frames.all.at(-1)
  expect([close?.opcode, close?.payload.readUInt16BE(0)]).toEqual([CLOSE, 1012])

  expect(await service.ended).toMatchObject(clean)
  expect(elapsed()).toBeLessThan(3_000 + BUSY_MS)
  await idle.closed
  await expect(fetch(`${url}/health/live`)).rejects.toThrow()
}, 20_000)

test('connections are closed one after another over the whole drain, in random order', async () => {
  await using service = await startService({ DRAIN_SECONDS: '1', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const token = await service.token('u')
  const order: number[] = []
  const clients: Awaited<ReturnType<typeof connectSocket>>[] = []
  for (let n = 0; n < 20; n++) clients.push(await connectSocket(`${service.url}/ws?token=${token}`))
  service.signal('SIGTERM')
  const began = performance.now()
  const moments = await Promise.all(
    clients.map(async (client, n) => {
      expect(await client.closed).toMatchObject({ code: 1012 })
      order.push(n)
      return performance.now() - began
    }),
  )
  expect(Math.max(...moments) - Math.min(...moments)).toBeWithin(700, 2_000)
  expect(order).not.toEqual([...order].sort((a, b) => a - b))
  expect(await service.ended).toMatchObject(clean)
}, 20_000)

/** Sends the beginning of a body whose end never comes. `closed` resolves with the answer after the server has hung up. */
function openEndlessRequest(port: number): Disposable & { readonly closed: Promise<string> } {
  const { promise: closed, resolve } = Promise.withResolvers<string>()
  let text = ''
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('data', piece => {
    text += piece
  })
  socket.on('error', () => {})
  socket.on('close', () => resolve(text))
  const fields = `Host: localhost\r\nContent-Type: application/json\r\nX-API-Key: ${API_KEY}\r\n`
  const body = '{"target_user_id":'
  socket.write(
    `POST /api/v1/notifications/send HTTP/1.1\r\n${fields}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n`,
  )
  return { closed, [Symbol.dispose]: () => void socket.destroy() }
}

test('clients that stop reading, full streams and endless requests do not delay a drain', async () => {
  await using service = await startService({
    DRAIN_SECONDS: '1',
    QUEUE_ENABLED: 'true',
    QUEUE_MAX_SIZE_PER_USER: '1000',
  })
  const { port, url } = service
  const token = await service.token('u')
  for (let n = 0; n < 200; n++) await (await service.send('u', 'x'.repeat(60_000))).body?.cancel()
  // Both clients are in the middle of a replay that they do not read.
  using socket = await connectRaw(port, `/ws?token=${token}&cursor=`)
  socket.stall()
  using stream = await exchangeRaw(port, [`GET /sse?token=${token} HTTP/1.1`])
  stream.stall()
  using reader = await connectSocket(`${url}/ws?token=${await service.token('v')}`)
  using never = openEndlessRequest(port)
  await eventually(
    async () => ((await (await fetch(`${url}/health`)).json()) as Message).connections.total === 3,
  )
  service.signal('SIGTERM')
  const elapsed = startStopwatch()
  expect(await reader.closed).toMatchObject({ code: 1012 })
  expect(await service.ended).toMatchObject(clean)
  expect(elapsed()).toBeLessThan(2_000 + BUSY_MS)
  expect(await never.closed).toBe('')
}, 20_000)

test('a send in progress at the signal is answered', async () => {
  await using service = await startService({ DRAIN_SECONDS: '1', QUEUE_ENABLED: 'true' })
  using client = await connectSocket(`${service.url}/ws?token=${await service.token('v')}`)
  let body: ReadableStreamDefaultController<Uint8Array> | undefined
  const answer = awaitedLater(
    fetch(`${service.url}/api/v1/notifications/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
      body: new ReadableStream<Uint8Array>({
        start: controller => {
          body = controller
          controller.enqueue(Buffer.from('{"target_user_id":"u",'))
        },
      }),
    }),
  )
  // The answer to a later request shows that the server has begun to read the first.
  await (await fetch(`${service.url}/health`)).text()
  service.signal('SIGTERM')
  expect(await client.closed).toMatchObject({ code: 1012 })
  body?.enqueue(Buffer.from('"event_type":"e","payload":1}'))
  body?.close()
  expect(await (await answer).json()).toMatchObject({ success: true, status: 'queued' })
  expect(await service.ended).toMatchObject(clean)
}, 20_000)

test('a drain without connections takes no time', async () => {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    await using service = await startService({ DRAIN_SECONDS: '30' })
    using idle = await exchangeRaw(service.port, ['GET /health/live HTTP/1.1'])
    service.signal(name)
    const elapsed = startStopwatch()
    expect(await service.ended).toMatchObject(clean)
    expect(elapsed()).toBeLessThan(5_000)
    await idle.closed
  }
}, 20_000)

test('with DRAIN_SECONDS=0 every client gets `shutdown` and is closed at once', async () => {
  await using service = await startService({ DRAIN_SECONDS: '0' })
  const clients = await Promise.all(
    Array.from({ length: 5 }, async (_, n) =>
      connectSocket(`${service.url}/ws?token=${await service.token(`u-${n}`)}`),
    ),
  )
  using stream = await connectStream(`${service.url}/sse?token=${await service.token('s')}`)
  service.signal('SIGTERM')
  const elapsed = startStopwatch()
  for (const client of clients) {
    expect(await client.closed).toMatchObject({ code: 1012 })
    expect(client.inbox.all.at(-1)).toEqual(shutdown)
  }
  await stream.closed
  expect(stream.inbox.all.at(-1)).toMatchObject({ event: 'shutdown', retry: expect.any(String) })
  expect(await service.ended).toMatchObject(clean)
  expect(elapsed()).toBeLessThan(1_500 + BUSY_MS)
}, 20_000)

test('a second signal ends the process at once with 1', async () => {
  for (const second of ['SIGTERM', 'SIGINT'] as const) {
    await using service = await startService({ DRAIN_SECONDS: '30' })
    using first = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
    using later = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
    service.signal('SIGTERM')
    await service.line('drain.started')
    const elapsed = startStopwatch()
    service.signal(second)
    expect(await service.ended).toMatchObject({ code: 1, stderr: '' })
    expect(elapsed()).toBeLessThan(5_000)
    first.close()
    later.close()
  }
}, 20_000)

test('an invalid setting stops the start with code 1 and one line on stderr that names it, without secrets', async () => {
  const good = { JWT_SECRET: SECRET, API_KEY }
  const production = { RUN_MODE: 'production', ...good }
  const secret = 'tell-nobody'
  const refusals: [name: string, env: Record<string, string>][] = [
    ['JWT_SECRET', { RUN_MODE: 'production', API_KEY }],
    ['JWT_SECRET', { RUN_MODE: 'prod', API_KEY }],
    ['JWT_SECRET', { ...production, JWT_SECRET: secret }],
    ['JWT_SECRET_PREVIOUS', { ...production, JWT_SECRET_PREVIOUS: secret }],
    ['API_KEY', { RUN_MODE: 'production', JWT_SECRET: SECRET }],
    ['API_KEY', { RUN_MODE: 'prod', JWT_SECRET: SECRET }],
    ['API_KEY', { ...production, API_KEY: secret }],
    ['API_KEY', { ...production, API_KEY: `${API_KEY},${secret}` }],
    ['METRICS_KEY', { ...production, METRICS_KEY: secret }],
    ['JWT_ALGORITHMS', { ...good, JWT_ALGORITHMS: 'RS256' }],
    ['JWT_ALGORITHMS', { ...good, JWT_ALGORITHMS: 'none' }],
    ['JWT_ALGORITHMS', { ...good, JWT_ALGORITHMS: 'HS256,HS1' }],
    ['JWT_PUBLIC_KEY', { ...good, JWT_PUBLIC_KEY: '/nowhere/key.pem' }],
    ['JWT_JWKS_URL', { ...good, JWT_JWKS_URL: 'ftp://tell-nobody@host' }],
    ['SERVER_PORT', { ...good, SERVER_PORT: '65536' }],
    ['SERVER_PORT', { ...good, SERVER_PORT: 'http' }],
    ['SERVER_HOST', { ...good, SERVER_HOST: '203.0.113.7' }],
    ['WEBSOCKET_CONNECTION_TIMEOUT', { ...good, WEBSOCKET_CONNECTION_TIMEOUT: '30' }],
    ['WEBSOCKET_HEARTBEAT_INTERVAL', { ...good, WEBSOCKET_HEARTBEAT_INTERVAL: '0' }],
    ['DRAIN_SECONDS', { ...good, DRAIN_SECONDS: '-1' }],
    ['SEND_BUFFER_BYTES', { ...good, SEND_BUFFER_BYTES: '65535' }],
    ['COALESCE_MS', { ...good, COALESCE_MS: '21' }],
    ['QUEUE_ENABLED', { ...good, QUEUE_ENABLED: 'maybe' }],
    ['QUEUE_MAX_SIZE_PER_USER', { ...good, QUEUE_MAX_SIZE_PER_USER: '1.5' }],
    ['CHANNEL_ACCESS', { ...good, CHANNEL_ACCESS: 'closed' }],
    ['CORS_ORIGINS', { ...good, CORS_ORIGINS: 'https://a.example/path' }],
    ['ALLOWED_ORIGINS', { ...good, CORS_ORIGINS: 'https://a.example', ALLOWED_ORIGINS: 'https://b.example' }],
    ['LOG_LEVEL', { ...good, LOG_LEVEL: 'loud' }],
    ['NODE_ID', { ...good, NODE_ID: 'a node' }],
    ['STORE_URL', { ...good, STORE_URL: 'redis://:tell-nobody@host:0' }],
  ]
  const begin = async ([name, env]: (typeof refusals)[number]) => {
    const child = spawn(env)
    const elapsed = startStopwatch()
    const [stderr, stdout] = await Promise.all([
      new Response(child.stderr).text(),
      new Response(child.stdout).text(),
    ])
    const code = await child.exited
    expect([name, env, code]).toEqual([name, env, 1])
    expect(elapsed()).toBeLessThan(5_000)
    expect([env, stderr]).toEqual([env, expect.stringMatching(new RegExp(`^${name}: expected [^\n]+\n$`))])
    for (const value of [secret, SECRET, API_KEY]) expect(stderr + stdout).not.toContain(value)
  }
  const queue = [...refusals]
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await begin(next)
  }
  await Promise.all([work(), work(), work()])
}, 60_000)

test('a port in use stops the start and names SERVER_PORT', async () => {
  const holder = createServer()
  await new Promise<void>(resolve => holder.listen(0, '127.0.0.1', resolve))
  const address = holder.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const child = spawn({ JWT_SECRET: SECRET, API_KEY, SERVER_PORT: String(port) })
  const stderr = await new Response(child.stderr).text()
  expect(await child.exited).toBe(1)
  expect(stderr).toMatch(/^SERVER_PORT: expected [^\n]+\n$/)
  holder.close()

  await using first = await startService()
  const second = spawn({ JWT_SECRET: SECRET, API_KEY, SERVER_PORT: String(first.port) })
  expect(await new Response(second.stderr).text()).toMatch(/^SERVER_PORT: expected [^\n]+\n$/)
  expect(await second.exited).toBe(1)
  expect(await (await fetch(`${first.url}/health/live`)).json()).toEqual({ status: 'alive' })
}, 20_000)

test('a start without settings works, and the printed token connects at once', async () => {
  const child = spawn({ LOG_FORMAT: 'text' })
  let text = ''
  const stderr = awaitedLater(new Response(child.stderr).text())
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString()
    if (text.includes('docs/')) break
  }
  const [url = ''] = /http:\/\/localhost:\d+\/sse\?token=[\w.-]+/.exec(text) ?? []
  using stream = await connectStream(url)
  expect(await stream.next()).toMatchObject({ event: 'connected' })
  const { data } = stream.inbox.all.find(({ event }) => event === 'connected') ?? {}
  const [, send = '', body = ''] = /(http:\/\/localhost:\d+\/api\S+) .*-d '(.*)'/.exec(text) ?? []
  expect(JSON.parse(body)).toMatchObject({ target_user_id: data.user_id })
  const answer = await fetch(send, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  expect(await answer.json()).toMatchObject({ delivered_to: 1 })
  expect(await stream.next()).toMatchObject({ event: 'notification' })
  child.kill('SIGTERM')
  await stream.closed
  expect(await child.exited).toBe(0)
  expect(await stderr).toBe('')
}, 20_000)

test('production starts with secret and key, logs JSON and logs neither of them', async () => {
  await using service = await startService({ RUN_MODE: 'production', LOG_FORMAT: '' })
  expect(service.lines.map(({ event }) => event)).toContain('started')
  expect(service.lines.some(({ warning }) => warning?.startsWith('CORS_ORIGINS'))).toBe(true)
  service.signal('SIGTERM')
  const { code, stderr, stdout } = await service.ended
  expect([code, stderr]).toEqual([0, ''])
  for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('event')
  for (const value of [SECRET, API_KEY]) expect(stdout).not.toContain(value)
}, 20_000)

test('the start logs version, node and the settings in effect; secrets appear only as set', async () => {
  await using service = await startService({
    NODE_ID: 'n7',
    QUEUE_ENABLED: 'true',
    METRICS_KEY: 'a-key-for-scrapes-of-the-node',
    REDIS_URL: 'redis://user:hidden-password@127.0.0.1:1',
  })
  const started = service.lines.find(({ event }) => event === 'started')
  expect(started).toMatchObject({ node: 'n7', port: service.port })
  expect(started.version).toMatch(/^\d+\.\d+\.\d+$/)
  expect(started.settings).toMatchObject({
    NODE_ID: 'n7',
    QUEUE_ENABLED: 'true',
    DRAIN_SECONDS: '10',
    JWT_SECRET: 'set',
    API_KEY: 'set',
    METRICS_KEY: 'set',
    REDIS_URL: 'redis://127.0.0.1:1',
  })
  service.signal('SIGTERM')
  const { stdout, stderr } = await service.ended
  for (const secret of ['hidden-password', 'a-key-for-scrapes', SECRET, API_KEY])
    expect(stdout + stderr).not.toContain(secret)
})

/** Sends on a connection of its own. */
async function sendOnce(port: number): Promise<'answered' | 'refused' | 'reset'> {
  const body = JSON.stringify({ target_user_id: 'u', event_type: 'e', payload: 1 })
  const ended = Promise.withResolvers<void>()
  let isConnected = false
  let answer = ''
  const socket = connect(port, '127.0.0.1', () => {
    isConnected = true
    const head = `POST /api/v1/notifications/send HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${API_KEY}`
    const type = `Content-Type: application/json\r\nContent-Length: ${body.length}`
    socket.write(`${head}\r\n${type}\r\nConnection: close\r\n\r\n${body}`)
  })
  socket.on('data', chunk => {
    answer += chunk
  })
  socket.on('error', () => {})
  socket.on('close', () => ended.resolve())
  await ended.promise
  if (answer.startsWith('HTTP/1.1 200')) return 'answered'
  return isConnected ? 'reset' : 'refused'
}

test('a service that ends under load answers every send whose connection was accepted', async () => {
  for (let round = 0; round < 3; round++) {
    await using service = await startService({ DRAIN_SECONDS: '0', QUEUE_ENABLED: 'true' })
    const { port } = service
    const results: string[] = []
    let isStopped = false
    const call = async () => {
      while (!isStopped) {
        results.push(await sendOnce(port))
        await Bun.sleep(10)
      }
    }
    const calls = awaitedLater(Promise.all(Array.from({ length: 8 }, call)))
    await eventually(() => results.length > 50)
    service.signal('SIGTERM')
    expect(await service.ended).toMatchObject(clean)
    isStopped = true
    await calls
    expect(results.filter(result => result === 'reset')).toEqual([])
  }
}, 30_000)
