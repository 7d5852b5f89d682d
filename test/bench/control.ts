/**
 * The same work by Bun alone: what a send, a subscription and a token must cost at the least. No checks of shape, no limits,
 * no CORS, no log lines. A token is verified synchronously, a frame is made once, a stream gets the events of a turn as one.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Server, ServerWebSocket } from 'bun'
import { Redis } from 'ioredis'

const { SERVER_PORT, API_KEY, JWT_SECRET = '', REDIS_URL } = process.env
const CHANNEL = 'bench'
const EVERYONE = 'everyone'
const MAX_KEPT = 100

interface Client {
  readonly user: string
}

interface Send {
  readonly target_user_id: string
  readonly channel: string
  readonly event_type: string
  readonly payload: unknown
}

interface Stream {
  readonly controller: ReadableStreamDefaultController<string>
  pending: string
}

const users = new Map<string, Set<ServerWebSocket<Client>>>()
const kept = new Map<string, string[]>()
const streams = new Set<Stream>()
let isFlushing = false

function userOf(token: string): string | undefined {
  const [head = '', body = '', signature = ''] = token.split('.')
  const expected = createHmac('sha256', JWT_SECRET).update(`${head}.${body}`).digest()
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  const { sub, exp } = JSON.parse(Buffer.from(body, 'base64url').toString())
  return Date.now() / 1000 < exp ? sub : undefined
}

function flush(): void {
  isFlushing = false
  for (const stream of streams) {
    stream.controller.enqueue(stream.pending)
    stream.pending = ''
  }
}

function toStreams(text: string): number {
  const event = `event: notification\ndata: ${text}\n\n`
  for (const stream of streams) stream.pending += event
  if (!isFlushing) setImmediate(flush)
  isFlushing = true
  return streams.size
}

function keep(user: string, text: string): void {
  const list = kept.get(user) ?? []
  if (list.length === MAX_KEPT) list.shift()
  list.push(text)
  kept.set(user, list)
}

function frameOf({ event_type, payload }: Send, id: string, source: string): string {
  const metadata = { source, priority: 'Normal' }
  const occurred_at = new Date().toISOString()
  return JSON.stringify({ type: 'notification', id, occurred_at, event_type, payload, metadata })
}

function toUser(user: string, text: string): number {
  const sockets = users.get(user)
  if (sockets === undefined) keep(user, text)
  for (const socket of sockets ?? []) socket.send(text)
  return sockets?.size ?? 0
}

const server: Server<Client> = Bun.serve<Client>({
  hostname: '127.0.0.1',
  port: Number(SERVER_PORT),
  idleTimeout: 0,
  async fetch(request, host) {
    const path = request.url.slice(request.url.indexOf('/', 8))
    if (request.method === 'GET') return open(request, path, host)
    if (request.headers.get('x-api-key') !== API_KEY) return new Response(null, { status: 401 })
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    const text = frameOf(send, id, 'http-api')
    const delivered = deliver(path, send, text)
    return Response.json({
      success: true,
      notification_id: id,
      delivered_to: delivered,
      failed: 0,
      timestamp: new Date().toISOString(),
      queued: delivered > 0 ? 0 : 1,
      status: delivered > 0 ? 'delivered' : 'queued',
    })
  },
  websocket: {
    idleTimeout: 0,
    open(socket) {
      const sockets = users.get(socket.data.user) ?? new Set()
      sockets.add(socket)
      users.set(socket.data.user, sockets)
      socket.subscribe(EVERYONE)
      const waiting = kept.get(socket.data.user) ?? []
      socket.cork(() => {
        for (const text of waiting) socket.send(text)
      })
    },
    message(socket) {
      socket.subscribe(CHANNEL)
      socket.send('{"type":"subscribed","payload":["bench"]}')
    },
    close(socket) {
      users.delete(socket.data.user)
    },
  },
})

function deliver(path: string, send: Send, text: string): number {
  if (path.endsWith('/send')) return toUser(send.target_user_id, text)
  if (path.endsWith('/channel')) {
    server.publish(CHANNEL, text, false)
    return server.subscriberCount(CHANNEL)
  }
  return toStreams(text)
}

function open(request: Request, path: string, host: Server<Client>): Response | undefined {
  if (path === '/health/live') return new Response('{}')
  const user = userOf(path.slice(path.indexOf('=') + 1))
  if (user === undefined) return new Response(null, { status: 401 })
  if (path.startsWith('/ws'))
    return host.upgrade(request, { data: { user } }) ? undefined : new Response(null)
  let stream: Stream | undefined
  const body = new ReadableStream<string>({
    start(controller) {
      stream = { controller, pending: '' }
      streams.add(stream)
      controller.enqueue(': open\n\n')
    },
    cancel() {
      if (stream !== undefined) streams.delete(stream)
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

if (REDIS_URL) {
  const redis = new Redis(REDIS_URL)
  redis.on('pmessage', (_, channel, message) => {
    const { target, event } = JSON.parse(message)
    toUser(target, frameOf(event, crypto.randomUUID(), `redis:${channel}`))
  })
  await redis.psubscribe('notification:user:*')
}
