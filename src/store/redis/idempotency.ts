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
/** Pending writes during an outage. Further ones are dropped; their keys become free after RESERVED_MS. */
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
      throw new Error('Redis sent an unexpected reply to a script')
  }
}

export function createIdempotency({ commits, ttlMs }: IdempotencyOptions): Idempotency {
  let pending = 0

  const commit = (command: Command, bytes: number) => commits.run({ bytes, build: () => [command] })

  /** Retries until the reservation expires. After that the key is free by itself. */
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
      const build = (connection: LiveConnection, deadline: number): readonly Command[] => [
        run(
          SCRIPTS.reserve,
          [onceKey(tenant, key)],
          connection.time(),
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
        // The caller will retry. The reservation this call may have made must not block that retry.
        void note(release(claim, 'retry'), BYTES)
        throw error
      }
    },
    answer: ({ tenant, key, id }, answer) =>
      void note(run(SCRIPTS.answer, [onceKey(tenant, key)], id, answer), BYTES + answer.length),
    release: (claim, how) =>
      void commit(release(claim, how), BYTES).catch(() =>
        // A repeat may have reserved the key again by then. Its id must stay known.
        note(release(claim, 'retry'), BYTES),
      ),
  }
}
