import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../support/redis.ts'

export type StoreKind = 'memory' | 'sqlite' | 'redis'

/** Storage of a server for one run. */
export interface Place extends AsyncDisposable {
  /** Value of STORE_URL. */
  readonly url: string
}

async function fileOf(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-bench-'))
  return {
    url: `sqlite:${join(directory, 'store.db')}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

/** Redis on the machine of the load, with `appendfsync everysec`. */
export async function openPlace(kind: StoreKind): Promise<Place> {
  if (kind === 'sqlite') return fileOf()
  if (kind === 'redis') return startRedis('--appendonly', 'yes', '--appendfsync', 'everysec')
  return { url: 'memory:', [Symbol.asyncDispose]: async () => {} }
}
