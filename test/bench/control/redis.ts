/** Delivers a message on a Redis channel: parse it, find the user's sockets, write. */
import { Redis } from 'ioredis'
import { sendTo, websocket } from './users.ts'
import { frameOf, LISTEN, other, pathOf, upgrade } from './wire.ts'

const redis = new Redis(process.env['REDIS_URL'] ?? '')
redis.on('pmessage', (_, channel, message) => {
  const { target, event } = JSON.parse(message)
  sendTo(target, frameOf(event, crypto.randomUUID(), `redis:${channel}`))
})
await redis.psubscribe('notification:user:*')

Bun.serve<string>({
  ...LISTEN,
  fetch(request, host) {
    const path = pathOf(request)
    return path.startsWith('/ws?') ? upgrade(request, path, host) : other(path)
  },
  websocket,
})
