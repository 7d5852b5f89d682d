import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What to type when nothing else helps. */
export const ADVICE =
  'Tests need a Redis server: type "apt-get install -y --no-install-recommends redis-tools" (or install redis-server or valkey-server).'

/** Whether there is a program that is a Redis server, maybe under another name. */
export const hasRedisServer = (): boolean =>
  (Bun.which('redis-server') ?? Bun.which('valkey-server') ?? Bun.which('redis-check-rdb')) !== null

/**
 * The path of a Redis server; undefined when there is none. Debian's `redis-tools` has it under another name, and no
 * daemon that takes port 6379: a link in the directory that is called `redis-server` is one.
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
