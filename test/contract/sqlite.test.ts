import { revocationsContract } from './revocations.contract.ts'
import { type OpenStore, storeContract } from './store.contract.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '../../src/store/sqlite/sqlite.ts'

const open: OpenStore = async options => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-'))
  const store = await sqliteStore({ path: join(directory, 'a.db'), sync: 'normal', noteMs: 0, ...options })
  return {
    ...store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]()
      await rm(directory, { recursive: true })
    },
  }
}

storeContract('sqlite', open, { runs: 300 })
revocationsContract('sqlite', open)
