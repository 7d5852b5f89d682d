import type { Redis } from 'ioredis'
import type { Config } from '../../config/config.ts'
import { isPattern } from '../../lib/redis/glob.ts'
import { isReplyError } from '../../lib/redis/reply-error.ts'

/** Refusals that a trial looks for. Other errors only say that its made-up group or id does not exist. */
const REFUSED = /NOPERM|permission|WRONGTYPE|READONLY|OOM|MISCONF/i

/** Runs a command that changes nothing, and rejects if Redis refuses it. */
async function attempt(client: Redis, ...[name, ...args]: readonly [string, ...string[]]): Promise<void> {
  await client.call(name, ...args).catch((error: unknown) => {
    if (!isReplyError(error) || REFUSED.test(error.message)) throw error
  })
}

/** Writes and removes a key as the store does, by a script. */
export async function tryStore(client: Redis): Promise<void> {
  const script = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return redis.call('DEL', KEYS[1])"
  await client.eval(script, 1, `ara:{doctor}:${crypto.randomUUID()}`)
  await attempt(client, 'EVALSHA', '0'.repeat(40), '0')
}

export async function tryBus(client: Redis, db: number): Promise<void> {
  const channel = `ara:bus:${db}:doctor-${crypto.randomUUID()}`
  await client.eval("return redis.call('PUBLISH', ARGV[1], '')", 0, channel)
  await client.pubsub('NUMSUB', channel)
  await client.subscribe(channel)
  await client.unsubscribe(channel)
}

/** Takes a lease that ends at once, as the node that dispatches messages of REDIS_CHANNELS. */
export async function tryLease(client: Redis): Promise<void> {
  const script = `redis.call('TIME') redis.call('HMGET', KEYS[1], 'holder') redis.call('HGET', KEYS[1], 'holder')
redis.call('HSET', KEYS[1], 'holder', '') return redis.call('PEXPIRE', KEYS[1], 0)`
  await client.eval(script, 1, `ara:lease:{doctor}${crypto.randomUUID()}`)
}

/** Subscribes last: the connection cannot be used for other commands after it. */
export async function tryTrigger(client: Redis, { redisChannels: channels }: Config): Promise<void> {
  const patterns = channels.filter(isPattern)
  const names = channels.filter(channel => !isPattern(channel))
  if (patterns.length > 0) await client.psubscribe(...patterns)
  if (names.length > 0) await client.subscribe(...names)
}

/** Names a group and ids that do not exist, so that nothing changes. */
export async function tryStream(client: Redis, stream: string): Promise<void> {
  const [group, bad] = [`doctor-${crypto.randomUUID()}`, 'no-id']
  await attempt(client, 'XGROUP', 'CREATE', stream, group, bad)
  await attempt(client, 'XREADGROUP', 'GROUP', group, 'doctor', 'COUNT', '1', 'STREAMS', stream, '>')
  await attempt(client, 'XPENDING', stream, group)
  await attempt(client, 'XACK', stream, group, '0-1')
  await attempt(client, 'XCLAIM', stream, group, 'doctor', '1', '0-1')
  await attempt(client, 'XAUTOCLAIM', stream, group, 'doctor', '1', '0')
  await attempt(client, 'XRANGE', stream, '0', '0', 'COUNT', '1')
  await attempt(client, 'XADD', `${stream}:dead`, bad, 'a', 'b')
}
