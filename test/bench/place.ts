import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../support/redis.ts'

export type StoreKind = 'memory' | 'sqlite' | 'redis'

/** Where a server keeps what it stores, for one run. */
export interface Place extends AsyncDisposable {
  /** As STORE_URL names it. */
  readonly url: string
}

async function fileOf(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-bench-'))
  return {
    url: `sqlite:${join(directory, 'store.db')}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

/** A Redis beside the load; it persists as Redis does by itself when told to, once a second. */
export async function openPlace(kind: StoreKind): Promise<Place> {
  if (kind === 'sqlite') return fileOf()
  if (kind === 'redis') return startRedis('--appendonly', 'yes', '--appendfsync', 'everysec')
  return { url: 'memory:', [Symbol.asyncDispose]: async () => {} }
}
