import type { Revocations } from '../store.ts'
import type { Batches } from './batches.ts'
import { revokedKey } from './keys.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

interface RevocationsOptions {
  readonly commits: Batches
  readonly reads: Batches
  /** Milliseconds since 1970; undefined: by the clock of Redis. */
  readonly time: (() => number) | undefined
}

const BYTES = 300

/** Asked anew each time: another node may have revoked a token just now. */
export const createRevocations = ({ commits, reads, time }: RevocationsOptions): Revocations => ({
  revoke: async (owner, before, until) => {
    const build = () => [run(SCRIPTS.revoke, [revokedKey(owner)], time?.() ?? '', before, until)]
    await commits.run({ bytes: BYTES, build })
    return 'revoked'
  },
  before: async owner => {
    const build = () => [run(SCRIPTS.revoked, [revokedKey(owner)], time?.() ?? '')]
    const [moment] = await reads.run({ bytes: BYTES, build })
    return moment === null ? undefined : Number(moment)
  },
})
