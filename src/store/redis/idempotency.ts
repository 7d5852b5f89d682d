import { type Idempotency, RESERVED_MS, type Reservation } from '../idempotency.ts'
import type { Batches } from './batches.ts'
import { onceKey } from './keys.ts'
import { SCRIPTS } from './scripts.ts'
import { type Command, run } from './server.ts'

interface IdempotencyOptions {
  readonly commits: Batches
  readonly ttlMs: number
  /** Milliseconds since 1970; undefined: by the clock of Redis. */
  readonly time: (() => number) | undefined
}

const BYTES = 500

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

export function createIdempotency({ commits, ttlMs, time }: IdempotencyOptions): Idempotency {
  /** What is lost is as if whoever asked had crashed before. */
  const note = (command: Command, bytes: number): void =>
    void commits.run({ bytes, build: () => [command] }).catch(() => {})

  return {
    reserve: async ({ tenant, key, fingerprint, id }) => {
      const [reply] = await commits.run({
        bytes: BYTES,
        build: (_, deadline) => [
          run(
            SCRIPTS.reserve,
            [onceKey(tenant, key)],
            time?.() ?? '',
            Math.floor(deadline),
            ttlMs,
            RESERVED_MS,
            fingerprint,
            id,
          ),
        ],
      })
      return reservationOf(reply)
    },
    answer: ({ tenant, key, id }, answer) =>
      note(run(SCRIPTS.answer, [onceKey(tenant, key)], id, answer), BYTES + answer.length),
    release: ({ tenant, key, id }, how) => note(run(SCRIPTS.release, [onceKey(tenant, key)], id, how), BYTES),
  }
}
