import { sqliteStore } from '../../src/store/sqlite/sqlite.ts'
import { storePlace } from '../support/store-file.ts'
import { idempotencyContract } from './idempotency.contract.ts'
import { revocationsContract } from './revocations.contract.ts'
import { type OpenStore, storeContract } from './store.contract.ts'

const open: OpenStore = async options => {
  const place = await storePlace()
  const store = await sqliteStore({ path: place.path, sync: 'normal', noteMs: 0, ...options })
  return {
    ...store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

storeContract('sqlite', open, { runs: 300 })
revocationsContract('sqlite', open)
idempotencyContract('sqlite', open)
