import type { Clock } from '../lib/clock.ts'
import type { Topic } from '../notification/topic.ts'
import type { Revocations } from './store.ts'

interface Revocation {
  readonly before: number
  readonly until: number
}

const MAX_REVOCATIONS = 100_000

/** Keeps them in this process. None is forgotten before its time, so at `max` one more is refused. */
export function memoryRevocations(clock: Clock, max = MAX_REVOCATIONS): Revocations {
  const revocations = new Map<Topic, Revocation>()

  const find = (owner: Topic): Revocation | undefined => {
    const found = revocations.get(owner)
    return found !== undefined && clock.now() <= found.until ? found : undefined
  }

  const forgetOver = (): void => {
    for (const owner of revocations.keys()) if (find(owner) === undefined) revocations.delete(owner)
  }

  return {
    revoke: async (owner, before, until) => {
      if (revocations.size >= max) forgetOver()
      if (revocations.size >= max && !revocations.has(owner)) return 'full'
      const known = find(owner)
      revocations.set(owner, {
        before: Math.max(before, known?.before ?? before),
        until: Math.max(until, known?.until ?? until),
      })
      return 'revoked'
    },
    before: owner => find(owner)?.before,
  }
}
