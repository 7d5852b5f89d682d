import { startRedis, type TestRedis } from './redis.ts'

export const MASTER = 'main'

/** Starts a Sentinel that declares a silent master dead after half a second, alone or when `quorum` of them agree. */
export async function startSentinel({ port }: TestRedis, quorum = 1): Promise<TestRedis> {
  const sentinel = await startRedis('--sentinel')
  const asker = sentinel.client()
  await asker.call('SENTINEL', 'MONITOR', MASTER, '127.0.0.1', String(port), String(quorum))
  await asker.call('SENTINEL', 'SET', MASTER, 'down-after-milliseconds', '500', 'failover-timeout', '3000')
  return sentinel
}
