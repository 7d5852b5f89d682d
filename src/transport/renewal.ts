import { type ChannelAccess, mayHear } from '../auth/channel-access.ts'
import type { Identities } from '../auth/identity.ts'
import { AppError } from '../errors.ts'
import type { Hub } from '../hub/hub.ts'
import { subscriptionsOf } from '../hub/subscriptions.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Principal } from '../notification/principal.ts'
import { channelTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import { authenticated, errorFrame, unsubscribed } from './outbound.ts'
import { type Peer, secondsLeft, tell } from './peer.ts'

/** Replaces the token of an open connection. Never rejects. */
export type Renew = (peer: Peer, token: string) => Promise<void>

export interface RenewalOptions {
  readonly hub: Hub
  readonly identities: Pick<Identities, 'of'>
  readonly access: ChannelAccess
  readonly clock: Clock
  readonly onFault: OnFault
  readonly onRefused: (fields: { readonly kind: 'jwt' | 'revoked'; readonly reason: string }) => void
}

export function createRenewal({ hub, identities, access, clock, onRefused, onFault }: RenewalOptions): Renew {
  /** Unsubscribes from channels that the new token does not allow. */
  const confine = (peer: Peer): void => {
    const { tenant } = peer.principal
    const lost = subscriptionsOf(peer).filter(channel => !mayHear(peer.principal, channel, access))
    for (const channel of lost) hub.leave(peer, channelTopic(tenant, channel))
    if (lost.length > 0) tell(peer, unsubscribed(lost))
  }

  const accept = (peer: Peer, principal: Principal): void => {
    peer.principal = principal
    peer.warnedOfExpiry = false
    tell(peer, authenticated(secondsLeft(peer, clock)))
    confine(peer)
  }

  return async (peer, token) => {
    // The old token stays in force when the new one cannot be checked.
    const identified = await Promise.try(identities.of, token).catch(error => {
      if (error instanceof AppError)
        return { ok: false, kind: 'revoked', reason: 'store unavailable' } as const
      onFault(error)
      return { ok: false, kind: 'revoked', reason: 'fault' } as const
    })
    if (peer.hasEnded()) return
    if (!identified.ok) {
      onRefused({ kind: identified.kind, reason: identified.reason })
      tell(peer, errorFrame('UNAUTHORIZED', 'The token is invalid; the one before still counts.'))
      return
    }
    const { principal } = identified
    const { user, tenant } = peer.principal
    if (principal.user === user && principal.tenant === tenant) return accept(peer, principal)
    tell(peer, errorFrame('FORBIDDEN', 'The token is of another user.'))
    peer.close('otherUser')
  }
}
