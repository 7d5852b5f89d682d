import { isRevoked } from '../auth/revocation.ts'
import type { Hub } from '../hub/hub.ts'
import type { Revocations } from '../store/revocations.ts'
import type { Retry } from './persist.ts'
import { createRounds, type Rounds } from './rounds.ts'

interface SweepOptions {
  readonly hub: Pick<Hub, 'rooms' | 'members'>
  readonly revocations: Pick<Revocations, 'before'>
  readonly retry: Retry
}

/** Disconnects clients whose token was revoked while no other node reached this one. */
export const createRevocationSweep = ({ hub, revocations, retry }: SweepOptions): Rounds =>
  createRounds({
    hub,
    retry,
    visit: async owners => {
      const moments = await Promise.all(owners.map(owner => revocations.before(owner)))
      for (const [n, owner] of owners.entries())
        for (const connection of [...hub.members(owner)])
          if (isRevoked(connection.principal, moments[n])) connection.close('disconnected')
    },
  })
