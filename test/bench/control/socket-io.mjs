/**
 * One node of Socket.IO with its Redis Streams adapter, behind the HTTP API of the controls. Installed and started by
 * `socket-io.ts`, in Node where it exists.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-streams-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const { SERVER_PORT, API_KEY, JWT_SECRET, BUS_URL, RECOVERY } = process.env
const SENDS = '/api/v1/notifications'
const RECOVERY_MS = 120_000

function userOf(token) {
  const [head = '', body = '', signature = ''] = token.split('.')
  const expected = createHmac('sha256', JWT_SECRET).update(`${head}.${body}`).digest()
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  const { sub, exp } = JSON.parse(Buffer.from(body, 'base64url').toString())
  return Date.now() / 1000 < exp ? sub : undefined
}

const roomOf = (path, { channel, target_user_id }) =>
  path === `${SENDS}/channel` ? channel : path === `${SENDS}/send` ? `user:${target_user_id}` : undefined

function answer(response, status, body) {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length })
  response.end(text)
}

function publish(path, text, response) {
  const send = JSON.parse(text)
  const room = roomOf(path, send)
  if (room === undefined) return answer(response, 404, {})
  const id = crypto.randomUUID()
  const { event_type, payload } = send
  io.to(room).emit('notification', { id, occurred_at: new Date().toISOString(), event_type, payload })
  answer(response, 200, { success: true, notification_id: id })
}

const server = createServer((request, response) => {
  if (request.method !== 'POST') return answer(response, request.url === '/health/ready' ? 200 : 404, {})
  if (request.headers['x-api-key'] !== API_KEY) return answer(response, 401, {})
  let text = ''
  request.setEncoding('utf8')
  request.on('data', chunk => {
    text += chunk
  })
  request.on('end', () => publish(request.url, text, response))
})

const io = new Server(server, {
  transports: ['websocket'],
  // The fast setting for JSON.
  adapter: createAdapter(new Redis(BUS_URL), { onlyPlaintext: true }),
  ...(RECOVERY === 'true' && { connectionStateRecovery: { maxDisconnectionDuration: RECOVERY_MS } }),
})
io.use((socket, next) => {
  const user = userOf(String(socket.handshake.query.token))
  socket.data.user = user
  next(user === undefined ? new Error('no valid token') : undefined)
})
io.on('connection', socket => {
  socket.join(`user:${socket.data.user}`)
  socket.on('subscribe', channel => {
    socket.join(channel)
    socket.emit('subscribed', channel)
  })
})
server.listen(Number(SERVER_PORT), '127.0.0.1')
