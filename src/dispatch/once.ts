import { AppError, storeUnavailable } from '../errors.ts'
import type { Stats } from '../observe/stats.ts'
import type { Claim, Idempotency, Reservation } from '../store/idempotency.ts'
import type { Log } from '../store/store.ts'

/** A request that is to be carried out now, by nobody else. */
export interface Held {
  /** What it is carried out under: its own id, or that of an earlier try whose outcome nobody knows. */
  readonly id: string
  /** Remembered for whoever comes with the same key; not waited for. */
  answered(answer: string): void
  /** `free`: it has brought nothing about; `retry`: nobody knows, and the same request may try again, and completes it. */
  failed(how: 'free' | 'retry'): void
}

export type Begun = Held | { readonly replay: string }

/** Carries out each request that its caller has given a key to once, however often and wherever it comes. */
export interface Once {
  /** Rejects with IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS or STORE_UNAVAILABLE. */
  begin(claim: Claim): Promise<Begun>
  /** From beginning to end; `carryOut` resolves with what is to be remembered. */
  run(claim: Claim, carryOut: (id: string) => Promise<string>): Promise<Ran>
}

export interface Ran {
  readonly answer: string
  /** It was carried out before, and nothing was done now. */
  readonly isReplay: boolean
}

interface OnceOptions {
  readonly idempotency: Idempotency
  /** Absent when there is no log. */
  readonly log: Pick<Log, 'trace'> | undefined
  readonly stats: Pick<Stats, 'idempotency'>
}

/** What tells a request from every other one: where it was sent to, and each part of what it says. */
export function fingerprintOf(endpoint: string, ...parts: readonly (string | Uint8Array)[]): string {
  const hash = new Bun.CryptoHasher('sha256').update(endpoint)
  // No part may pass for the end of the one before.
  for (const part of parts) hash.update(`\0${part.length}\0`).update(part)
  return hash.digest('base64url')
}

/** The same UUID v4 (RFC 9562 §5.4) for the same id and index, so that a batch that is tried again repeats nobody. */
export function derivedId(id: string, index: number): string {
  const bytes = new Bun.CryptoHasher('sha256').update(`${id}:${index}`).digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** Nothing was done: it said what cannot be done. */
const isRefusal = (error: unknown): boolean => error instanceof AppError && error.code !== 'STORE_UNAVAILABLE'

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

export function createOnce({ idempotency, log, stats: { idempotency: counts } }: OnceOptions): Once {
  /** What this process is carrying out right now: name → fingerprint. */
  const underWay = new Map<string, string>()

  const conflict = (): AppError => {
    counts.conflict++
    return new AppError('IDEMPOTENCY_KEY_REUSED')
  }
  const inProgress = (): AppError => {
    counts.inProgress++
    return new AppError('IDEMPOTENCY_IN_PROGRESS', { headers: { 'retry-after': '1' } })
  }

  /** One that died after the log had taken it may be completed at once: what the log knows it does not take again. */
  const isStored = async ({ tenant }: Claim, id: string): Promise<boolean> =>
    (await log?.trace(tenant, id, { limit: 1 }).catch(storeUnavailable)) !== undefined

  const hold = (claim: Claim, id: string): Held => {
    counts.new++
    const own = { ...claim, id }
    return {
      id,
      answered: answer => {
        underWay.delete(nameOf(claim))
        idempotency.answer(own, answer)
      },
      failed: how => {
        underWay.delete(nameOf(claim))
        idempotency.release(own, how)
      },
    }
  }

  const judge = async (claim: Claim, reservation: Reservation): Promise<Begun> => {
    switch (reservation.type) {
      case 'reserved':
        return hold(claim, reservation.id)
      case 'answered':
        counts.replayed++
        return { replay: reservation.answer }
      case 'in_progress':
        if (await isStored(claim, reservation.id)) return hold(claim, reservation.id)
        throw inProgress()
      case 'conflict':
        throw conflict()
    }
  }

  const begin = async (claim: Claim): Promise<Begun> => {
    const name = nameOf(claim)
    const known = underWay.get(name)
    if (known !== undefined) throw known === claim.fingerprint ? inProgress() : conflict()
    // In the same turn: of two that come at once one finds the other here.
    underWay.set(name, claim.fingerprint)
    let begun: Begun | undefined
    try {
      const reservation = await idempotency.reserve(claim).catch(storeUnavailable)
      begun = await judge(claim, reservation)
      return begun
    } finally {
      if (begun === undefined || 'replay' in begun) underWay.delete(name)
    }
  }

  return {
    begin,
    run: async (claim, carryOut) => {
      const begun = await begin(claim)
      if ('replay' in begun) return { answer: begun.replay, isReplay: true }
      try {
        const answer = await carryOut(begun.id)
        begun.answered(answer)
        return { answer, isReplay: false }
      } catch (error) {
        begun.failed(isRefusal(error) ? 'free' : 'retry')
        throw error
      }
    },
  }
}
