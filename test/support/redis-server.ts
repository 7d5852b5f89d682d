import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Advice for a missing program: the command to type. */
export const ADVICE =
  'Tests need a Redis server: type "apt-get install -y --no-install-recommends redis-tools" (or install redis-server or valkey-server).'

/** Tells whether a Redis server exists, possibly under another name. */
export const hasRedisServer = (): boolean =>
  (Bun.which('redis-server') ?? Bun.which('valkey-server') ?? Bun.which('redis-check-rdb')) !== null

/**
 * Finds the path of a Redis server; undefined if missing. Debian's `redis-tools` has it under another name, without a
 * daemon on port 6379: a link named `redis-server` in the directory makes it one.
 */
export function findRedisServer(directory: string): string | undefined {
  const server = Bun.which('redis-server') ?? Bun.which('valkey-server')
  if (server !== null) return server
  const checker = Bun.which('redis-check-rdb')
  if (checker === null) return undefined
  const link = join(directory, 'redis-server')
  if (!existsSync(link)) symlinkSync(checker, link)
  return link
}
