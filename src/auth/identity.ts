import { StoreAway, storeUnavailable } from '../errors.ts'
import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Principal } from '../notification/principal.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { FetchResult } from './jwks.ts'
import { createTokens, type TokenSettings } from './jwt.ts'
import { isRevoked } from './revocation.ts'

/** A principal, or a reason for the log. */
export type IdentityResult =
  | {
      readonly ok: true
      readonly principal: Principal
      /** True if revocation could not be checked. */
      readonly unchecked: boolean
    }
  | { readonly ok: false; readonly kind: 'jwt' | 'revoked'; readonly reason: string }

/** Identifies clients by tokens that are valid and not revoked. */
export interface Identities extends Disposable {
  /** Identifies a client. Rejects with STORE_UNAVAILABLE if revocation cannot be checked. Never throws. */
  of(token: string): Awaitable<IdentityResult>
  /** Like `of`, but accepts the token if revocation cannot be checked: check it again later. */
  forNow(token: string): Awaitable<IdentityResult>
  /** Whether the token of a principal is revoked. No promise if the answer is known already. */
  isRevoked(principal: Principal): Awaitable<boolean>
}

interface IdentityOptions {
  readonly settings: TokenSettings
  readonly clock: Clock
  /** Time before which tokens of a user are revoked, in milliseconds; undefined without one. */
  readonly revokedBefore: (owner: Topic) => number | undefined | Promise<number | undefined>
  /** Called after each fetch of the key set. */
  readonly onKeySet: (fetched: FetchResult) => void
}

/** Creates the check of tokens. Throws ConfigError for an unfit public key. */
export async function createIdentities({
  settings,
  clock,
  revokedBefore,
  onKeySet,
}: IdentityOptions): Promise<Identities> {
  const tokens = await createTokens({ ...settings, clock, onKeySet })

  const isRevokedNow = (principal: Principal): Awaitable<boolean> =>
    whenReady(revokedBefore(userTopic(principal.tenant, principal.user)), before =>
      isRevoked(principal, before),
    )

  const resultOf = (principal: Principal, revoked: boolean | undefined): IdentityResult =>
    revoked === true
      ? { ok: false, kind: 'revoked', reason: 'revoked' }
      : { ok: true, principal, unchecked: revoked === undefined }

  const identify = (token: string, onUnknown: (cause: unknown) => undefined): Awaitable<IdentityResult> =>
    whenReady(tokens.verify(token), verified => {
      if (!verified.ok) return { ok: false, kind: 'jwt', reason: verified.reason }
      const { principal } = verified
      const asked = isRevokedNow(principal)
      return asked instanceof Promise
        ? asked.catch(onUnknown).then(revoked => resultOf(principal, revoked))
        : resultOf(principal, asked)
    })

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
