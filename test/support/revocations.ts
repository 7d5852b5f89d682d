import { StoreAway } from '../../src/errors.ts'
import type { Revocations, Store } from '../../src/store/store.ts'

type Wrap = (store: Store) => Store

/** A store that knows at once which tokens are revoked, and says so when `wait` is over. */
export const lateRevocations =
  (wait: () => Promise<void>): Wrap =>
  store => ({
    ...store,
    revocations: {
      revoke: async (...given) => {
        return await store.revocations.revoke(...given)
      },
      before: async owner => {
        const before = await store.revocations.before(owner)
        await wait()
        return before
      },
    },
  })

/** A store that fails at one thing, always or now and then. */
export const breakingRevocations =
  (what: keyof Revocations, isBroken: () => boolean = () => true): Wrap =>
  store => {
    const { revocations } = store
    const fail = async (): Promise<never> => {
      throw new StoreAway('away')
    }
    return {
      ...store,
      revocations: {
        revoke: (...given) => (what === 'revoke' && isBroken() ? fail() : revocations.revoke(...given)),
        before: owner => (what === 'before' && isBroken() ? fail() : revocations.before(owner)),
      },
    }
  }
