import { tenantOf, userOf } from '../../notification/topic.ts'
import type { Revocations } from '../revocations.ts'
import type { Batches } from './batches.ts'
import { revocationsKey, revokedKey } from './keys.ts'
import { SCRIPTS } from './scripts.ts'
import { type LiveConnection, run } from './server.ts'

interface RevocationsOptions {
  readonly commits: Batches
  readonly reads: Batches
  /** Maximum number of users of one tenant with a revocation in force. */
  readonly max: number
}

const BYTES = 300

/** Reads Redis each time: another node may have revoked a token just now. */
export const createRevocations = ({ commits, reads, max }: RevocationsOptions): Revocations => ({
  revoke: async (owner, before, until) => {
    // Counts first: a crash in between leaves a place taken, but never a revocation uncounted.
    const admit = (connection: LiveConnection) => [
      run(SCRIPTS.admit, [revocationsKey(tenantOf(owner))], connection.time(), userOf(owner), until, max),
    ]
    const [isAdmitted] = await commits.run({ bytes: BYTES, build: admit })
    if (isAdmitted !== 1) return 'full'
    const build = (connection: LiveConnection) => [
      run(SCRIPTS.revoke, [revokedKey(owner)], connection.time(), before, until),
    ]
    await commits.run({ bytes: BYTES, build })
    return 'revoked'
  },
  before: async owner => {
    const build = (connection: LiveConnection) => [
      run(SCRIPTS.revoked, [revokedKey(owner)], connection.time()),
    ]
    const [moment] = await reads.run({ bytes: BYTES, build })
    return moment === null ? undefined : Number(moment)
  },
})
