import { StoreAway } from '../../src/errors.ts'
import type { Revocations } from '../../src/store/revocations.ts'
import type { Store } from '../../src/store/store.ts'

type Wrap = (store: Store) => Store

/** Store that knows revoked tokens at once and answers after `wait`. */
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

/** Store in which one operation fails, always or sometimes. */
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
