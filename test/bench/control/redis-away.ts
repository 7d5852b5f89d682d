/** Keeps a message on a Redis channel in a bounded array of its user, unless the user is connected. */
import { Redis } from 'ioredis'
import { createKept } from './kept.ts'
import { sendTo, websocket } from './users.ts'
import { frameOf, LISTEN, other, pathOf, upgrade } from './wire.ts'

const keep = createKept()
const redis = new Redis(process.env['REDIS_URL'] ?? '')
redis.on('pmessage', (_, channel, message) => {
  const { target, event } = JSON.parse(message)
  const frame = frameOf(event, crypto.randomUUID(), `redis:${channel}`)
  if (sendTo(target, frame) === 0) keep(target, frame)
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
