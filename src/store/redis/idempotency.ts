import { type Claim, type Idempotency, RESERVED_MS, type Reservation } from '../idempotency.ts'
import type { Batches } from './batches.ts'
import { onceKey } from './keys.ts'
import { SCRIPTS } from './scripts.ts'
import { type Command, type LiveConnection, run } from './server.ts'

interface IdempotencyOptions {
  readonly commits: Batches
  readonly ttlMs: number
}

const BYTES = 500
const RETRY_MS = 250
/** In an outage; more are left to themselves. */
const MAX_PENDING = 10_000

function reservationOf(reply: unknown): Reservation {
  const [type, value = ''] = Array.isArray(reply) ? reply.map(String) : []
  switch (type) {
    case 'reserved':
    case 'in_progress':
      return { type, id: value }
    case 'answered':
      return { type, answer: value }
    case 'conflict':
      return { type }
    default:
      throw new Error('Redis answered something else than its script does')
  }
}

export function createIdempotency({ commits, ttlMs }: IdempotencyOptions): Idempotency {
  let pending = 0

  const commit = (command: Command, bytes: number) => commits.run({ bytes, build: () => [command] })

  /** Tried for as long as it matters: later the key is free by itself. */
  const note = async (command: Command, bytes: number): Promise<void> => {
    if (pending >= MAX_PENDING) return
    pending++
    for (let waited = 0; waited < RESERVED_MS; waited += RETRY_MS) {
      const isNoted = await commit(command, bytes).then(
        () => true,
        () => false,
      )
      if (isNoted) break
      await new Promise(resolve => setTimeout(resolve, RETRY_MS).unref())
    }
    pending--
  }

  const release = ({ tenant, key, id }: Claim, how: 'free' | 'retry'): Command =>
    run(SCRIPTS.release, [onceKey(tenant, key)], id, how)

  return {
    reserve: async claim => {
      const { tenant, key, fingerprint, id } = claim
      const build = (present: LiveConnection, deadline: number): readonly Command[] => [
        run(
          SCRIPTS.reserve,
          [onceKey(tenant, key)],
          present.time(),
          Math.floor(deadline),
          ttlMs,
          RESERVED_MS,
          fingerprint,
          id,
        ),
      ]
      try {
        const [reply] = await commits.run({ bytes: BYTES, build })
        return reservationOf(reply)
      } catch (error) {
        // Whoever asked is told to come again: what may have been reserved for him must not stand in his way.
        void note(release(claim, 'retry'), BYTES)
        throw error
      }
    },
    answer: ({ tenant, key, id }, answer) =>
      void note(run(SCRIPTS.answer, [onceKey(tenant, key)], id, answer), BYTES + answer.length),
    release: (claim, how) =>
      void commit(release(claim, how), BYTES).catch(() =>
        // By then the same request may have been reserved again, under the same id, which must stay known.
        note(release(claim, 'retry'), BYTES),
      ),
  }
}
