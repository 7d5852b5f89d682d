import { StoreAway, storeUnavailable } from '../errors.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Principal } from '../notification/principal.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { FetchResult } from './jwks.ts'
import { createTokens, type TokenSettings } from './jwt.ts'
import { isRevoked } from './revocation.ts'

/** A principal, or why there is none: for the log only. */
export type IdentityResult =
  | {
      readonly ok: true
      readonly principal: Principal
      /** Nobody could say whether the token was revoked. */
      readonly unchecked: boolean
    }
  | { readonly ok: false; readonly kind: 'jwt' | 'revoked'; readonly reason: string }

/** Who clients are: what their tokens say, unless these were revoked. */
export interface Identities extends Disposable {
  /** Rejects with STORE_UNAVAILABLE when nobody can say whether the token was revoked. */
  of(token: string): Promise<IdentityResult>
  /** The same for whoever comes to stay, and of whom it is asked again: good as long as nobody can say. */
  forNow(token: string): Promise<IdentityResult>
  /** Whether the token of a principal has been revoked since. Not a promise when that is known at once. */
  isRevoked(principal: Principal): boolean | Promise<boolean>
}

interface IdentityOptions {
  readonly settings: TokenSettings
  readonly clock: Clock
  /** Before which moment tokens of a user must not have been made; undefined for any. */
  readonly revokedBefore: (owner: Topic) => number | undefined | Promise<number | undefined>
  /** Told how each fetch of the key set ended. */
  readonly onKeySet: (fetched: FetchResult) => void
}

/** Throws ConfigError for an unfit public key. */
export async function createIdentities({
  settings,
  clock,
  revokedBefore,
  onKeySet,
}: IdentityOptions): Promise<Identities> {
  const tokens = await createTokens({ ...settings, clock, onKeySet })

  const isRevokedNow = (principal: Principal): boolean | Promise<boolean> => {
    const before = revokedBefore(userTopic(principal.tenant, principal.user))
    return before instanceof Promise
      ? before.then(moment => isRevoked(principal, moment))
      : isRevoked(principal, before)
  }

  const identify = async (
    token: string,
    onUnknown: (cause: unknown) => undefined,
  ): Promise<IdentityResult> => {
    const verified = await tokens.verify(token)
    if (!verified.ok) return { ok: false, kind: 'jwt', reason: verified.reason }
    const { principal } = verified
    const asked = isRevokedNow(principal)
    const revoked = typeof asked === 'boolean' ? asked : await asked.catch(onUnknown)
    if (revoked === true) return { ok: false, kind: 'revoked', reason: 'revoked' }
    return { ok: true, principal, unchecked: revoked === undefined }
  }

  return {
    of: token => identify(token, storeUnavailable),
    forNow: token =>
      identify(token, cause => {
        if (!(cause instanceof StoreAway)) throw cause
        return undefined
      }),
    isRevoked: isRevokedNow,
    [Symbol.dispose]: () => tokens[Symbol.dispose](),
  }
}
