import { Redis } from 'ioredis'

const { REDIS_URL = 'redis://localhost:6379', REDIS_STREAM = 'notifications' } = process.env
const [user, order] = process.argv.slice(2)
if (!user || !order) {
  console.error('Usage: publish.mjs <user> <order>')
  process.exit(2)
}

const redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 3 })
redis.on('error', error => console.error(error.message))

/** Pub/Sub: reaches a service that listens now. Redis answers with the number of listeners. */
async function publish(message) {
  const listeners = await redis.publish(
    `notification:${message.type}:${message.target}`,
    JSON.stringify(message),
  )
  if (listeners === 0) console.error('no service listens: the message is lost')
}

/** The stream: the service reads it later if it is away now. */
const append = message =>
  redis.xadd(REDIS_STREAM, 'MAXLEN', '~', 100_000, '*', 'data', JSON.stringify(message))

try {
  await publish({
    type: 'channel',
    target: 'lobby',
    event: { event_type: 'room.message', payload: { from: 'js', text: `order ${order} is packed` } },
  })
  await append({
    type: 'user',
    target: user,
    // The key makes a repeat harmless.
    idempotency_key: `order-${order}-shipped`,
    event: { event_type: 'order.shipped', payload: { order } },
  })
} finally {
  redis.disconnect()
}
