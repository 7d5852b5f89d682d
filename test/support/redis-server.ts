import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What to type when nothing else helps. */
export const ADVICE =
  'Tests need a Redis server: type "apt-get install -y --no-install-recommends redis-tools" (or install redis-server or valkey-server).'

const INSTALL = ['install', '-y', '--no-install-recommends', 'redis-tools']
const INSTALL_MS = 300_000

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

/** As root, or as somebody who becomes root without a password. */
function runAsRoot(...command: readonly string[]): boolean {
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  try {
    const { success } = Bun.spawnSync([...sudo, ...command], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
      timeout: INSTALL_MS,
    })
    return success
  } catch {
    return false
  }
}

/** Says nothing when there is a server already. */
function install(): void {
  if (Bun.which('redis-server') ?? Bun.which('valkey-server') ?? Bun.which('redis-check-rdb')) return
  console.log('Installing redis-tools, whose server the tests use.')
  if (runAsRoot('apt-get', ...INSTALL)) return
  if (runAsRoot('apt-get', 'update') && runAsRoot('apt-get', ...INSTALL)) return
  console.log(ADVICE)
}

if (import.meta.main) install()
