import { createLRU } from 'lru.min'
import { AppError, storeUnavailable } from '../errors.ts'
import type { Stats } from '../observe/stats.ts'
import type { Claim, Idempotency, Reservation } from '../store/idempotency.ts'
import type { UserLog } from '../store/store.ts'

/** What a request is carried out under. */
export interface Try {
  /** Its own id, or that of an earlier try whose outcome nobody knows. */
  readonly id: string
  /** Whether there was such a try. */
  readonly isRetry: boolean
  /** When that try had its notification stored, milliseconds since 1970: it is still of that moment. Undefined when it had not. */
  readonly storedAt: number | undefined
}

/** A request that is to be carried out now, by nobody else. */
export interface KeyClaim extends Try {
  /** Remembered for whoever comes with the same key; not waited for. */
  answered(answer: string): void
  /** `free`: it has brought nothing about; `retry`: nobody knows, and the same request may try again, and completes it. */
  failed(how: 'free' | 'retry'): void
}

export type BeginResult = KeyClaim | { readonly replay: string }

/** Carries out each request that its caller has given a key to once, however often and wherever it comes. */
export interface Once {
  /** Rejects with IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS or STORE_UNAVAILABLE. */
  begin(claim: Claim, partsOf?: PartsOf): Promise<BeginResult>
  /** From beginning to end; `carryOut` resolves with what is to be remembered. */
  run(claim: Claim, carryOut: (as: Try) => Promise<string>, partsOf?: PartsOf): Promise<OnceResult>
  /** When a notification came that the log knows, milliseconds since 1970; else undefined. Rejects with STORE_UNAVAILABLE. */
  storedAt(tenant: string, id: string): Promise<number | undefined>
  /** Counts a repeat that needed no asking. */
  note(result: 'replayed' | 'conflict'): void
}

/**
 * The notification ids of a request with several, by its id. One that the log knows proves that the request got that far: it
 * is completed at once. None for what a log does not hold, which a second try would send again.
 */
export type PartsOf = (id: string) => readonly string[]

const noParts: PartsOf = () => []

export interface OnceResult {
  readonly answer: string
  /** It was answered before, or stored by a try that was not answered: no notification is new. */
  readonly isReplay: boolean
}

interface OnceOptions {
  readonly idempotency: Idempotency
  /** Absent when there is no log. */
  readonly log: Pick<UserLog, 'report'> | undefined
  readonly stats: Pick<Stats, 'idempotency'>
}

/** How many reservations that were given up are remembered. */
const MAX_GIVEN_UP = 10_000

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
export const isRefusal = (error: unknown): boolean =>
  error instanceof AppError && error.code !== 'STORE_UNAVAILABLE'

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

export function createOnce({ idempotency, log, stats: { idempotency: counts } }: OnceOptions): Once {
  /** What this process is carrying out right now: name → fingerprint. */
  const underWay = new Map<string, string>()
  /**
   * What this process has given up, by name: another try goes on under the same id. A store that was away may not have heard
   * of it, or have reserved more than it could say, and would keep the request waiting for nobody.
   */
  const givenUp = createLRU<string, Claim>({ max: MAX_GIVEN_UP })

  const conflict = (): AppError => {
    counts.conflict++
    return new AppError('IDEMPOTENCY_KEY_REUSED')
  }
  const inProgress = (): AppError => {
    counts.inProgress++
    return new AppError('IDEMPOTENCY_IN_PROGRESS', { headers: { 'retry-after': '1' } })
  }

  const storedAt: Once['storedAt'] = async (tenant, id) =>
    (await log?.report(tenant, id, { limit: 1 }).catch(storeUnavailable))?.occurredAt

  const giveUp = (claim: Claim, how: 'free' | 'retry'): void => {
    givenUp.set(nameOf(claim), claim)
    idempotency.release(claim, how)
  }

  const hold = (claim: Claim, as: Try): KeyClaim => {
    counts.new++
    const name = nameOf(claim)
    const own = { ...claim, id: as.id }
    givenUp.delete(name)
    return {
      ...as,
      answered: answer => {
        underWay.delete(name)
        idempotency.answer(own, answer)
      },
      failed: how => {
        underWay.delete(name)
        // An earlier try may have brought something about that this one has not.
        giveUp(own, as.isRetry ? 'retry' : how)
      },
    }
  }

  const holdAgain = async (claim: Claim, id: string): Promise<KeyClaim> =>
    hold(claim, { id, isRetry: true, storedAt: await storedAt(claim.tenant, id) })

  /** What the store could not say may have been done all the same. */
  const reserve = (claim: Claim, earlier: string | undefined): Promise<Reservation> =>
    idempotency.reserve(claim).catch(cause => {
      giveUp(claim, earlier === undefined ? 'free' : 'retry')
      return storeUnavailable(cause)
    })

  const judge = async (
    claim: Claim,
    earlier: string | undefined,
    reservation: Reservation,
    partsOf: PartsOf,
  ): Promise<BeginResult> => {
    switch (reservation.type) {
      case 'reserved': {
        const { id } = reservation
        if (id !== earlier && id === claim.id) return hold(claim, { id, isRetry: false, storedAt: undefined })
        return await holdAgain(claim, id).catch(error => {
          giveUp({ ...claim, id }, 'retry')
          throw error
        })
      }
      case 'answered':
        counts.replayed++
        return { replay: reservation.answer }
      case 'in_progress': {
        const { id } = reservation
        if (id === earlier) return await holdAgain(claim, id)
        // One that died after the log had taken it may be completed at once: what the log knows it does not take again.
        const at = await storedAt(claim.tenant, id)
        if (at !== undefined) return hold(claim, { id, isRetry: true, storedAt: at })
        const parts = await Promise.all(partsOf(id).map(part => storedAt(claim.tenant, part)))
        if (parts.some(moment => moment !== undefined))
          return hold(claim, { id, isRetry: true, storedAt: undefined })
        throw inProgress()
      }
      case 'conflict':
        throw conflict()
    }
  }

  const begin = async (claim: Claim, partsOf = noParts): Promise<BeginResult> => {
    const name = nameOf(claim)
    const known = underWay.get(name)
    if (known !== undefined) throw known === claim.fingerprint ? inProgress() : conflict()
    // In the same turn: of two that come at once one finds the other here.
    underWay.set(name, claim.fingerprint)
    let begun: BeginResult | undefined
    try {
      const before = givenUp.get(name)
      const earlier = before?.fingerprint === claim.fingerprint ? before.id : undefined
      const own = { ...claim, id: earlier ?? claim.id }
      begun = await judge(own, earlier, await reserve(own, earlier), partsOf)
      return begun
    } finally {
      if (begun === undefined || 'replay' in begun) underWay.delete(name)
    }
  }

  return {
    begin,
    storedAt,
    note: result => {
      counts[result]++
    },
    run: async (claim, carryOut, partsOf) => {
      const begun = await begin(claim, partsOf)
      if ('replay' in begun) return { answer: begun.replay, isReplay: true }
      try {
        const answer = await carryOut(begun)
        begun.answered(answer)
        return { answer, isReplay: begun.storedAt !== undefined }
      } catch (error) {
        begun.failed(isRefusal(error) ? 'free' : 'retry')
        throw error
      }
    },
  }
}
