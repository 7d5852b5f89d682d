import { startRedis, type TestRedis } from './redis.ts'

export const MASTER = 'main'

/** Starts a Sentinel that alone declares a silent master dead after half a second. */
export async function startSentinel({ port }: TestRedis): Promise<TestRedis> {
  const sentinel = await startRedis('--sentinel')
  const asker = sentinel.client()
  await asker.call('SENTINEL', 'MONITOR', MASTER, '127.0.0.1', String(port), '1')
  await asker.call('SENTINEL', 'SET', MASTER, 'down-after-milliseconds', '500', 'failover-timeout', '3000')
  return sentinel
}
