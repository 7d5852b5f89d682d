import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '../../src/store/sqlite/sqlite.ts'
import type { Store, StoreLimits, StoreObserver } from '../../src/store/store.ts'
import { fakeClock, LIMITS, noting } from '../contract/store.contract.ts'

/** Temporary folder for a store's file, removed at the end. */
export interface StorePlace extends AsyncDisposable {
  readonly directory: string
  readonly path: string
  /** `sqlite:<path>` */
  readonly url: string
}

export async function storePlace(parent = tmpdir()): Promise<StorePlace> {
  const directory = await mkdtemp(join(parent, 'sqlite-'))
  const path = join(directory, 'ara.db')
  return {
    directory,
    path,
    url: `sqlite:${path}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

interface Opened {
  readonly store: Store
  readonly clock: ReturnType<typeof fakeClock>
  readonly notes: readonly unknown[][]
}

/** Opens an unshared store whose clock only the test moves. */
export async function openPlace(
  { path }: Pick<StorePlace, 'path'>,
  {
    sync = 'full',
    limits = {},
    clock = fakeClock(),
    observer = noting(),
    onFault,
  }: {
    readonly sync?: 'full' | 'normal'
    readonly limits?: Partial<StoreLimits>
    readonly clock?: ReturnType<typeof fakeClock>
    readonly observer?: StoreObserver & { readonly notes: unknown[][] }
    readonly onFault?: (error: unknown) => void
  } = {},
): Promise<Opened & AsyncDisposable> {
  const store = await sqliteStore({
    path,
    sync,
    limits: { ...LIMITS, ...limits },
    clock,
    observer,
    noteMs: 0,
    ...(onFault !== undefined && { onFault }),
  })
  return {
    store,
    clock,
    notes: observer.notes,
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}
