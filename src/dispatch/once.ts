import { createLRU } from 'lru.min'
import { AppError, storeUnavailable } from '../errors.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Stats } from '../observe/stats.ts'
import type { Claim, Idempotency, Reservation } from '../store/idempotency.ts'
import type { UserLog } from '../store/store.ts'

/** An attempt to execute a request with a key. */
export interface Try {
  /** Its own id, or that of an earlier attempt with an unknown outcome. */
  readonly id: string
  /** True if there was such an attempt. */
  readonly isRetry: boolean
  /** When that attempt stored its notification, milliseconds since 1970; undefined if it did not. */
  readonly storedAt: number | undefined
}

/** An attempt that this process alone executes now. */
export interface KeyClaim extends Try {
  /** Stores the answer for repeats of the key, in the background. */
  answered(answer: string): void
  /** Releases the key. `free`: nothing happened; `retry`: the outcome is unknown, and a repeat completes it. */
  failed(how: 'free' | 'retry'): void
}

export type BeginResult = KeyClaim | { readonly replay: string }

/** Executes each request with an idempotency key once, however often it arrives. */
export interface Once {
  /** Rejects with IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS or STORE_UNAVAILABLE. */
  begin(claim: Claim, partsOf?: PartsOf): Promise<BeginResult>
  /** Begins, executes and ends a request; `carryOut` resolves with the answer to store. */
  run(claim: Claim, carryOut: (as: Try) => Awaitable<string>, partsOf?: PartsOf): Promise<OnceResult>
  /** When the log took a notification, milliseconds since 1970. Rejects with STORE_UNAVAILABLE. */
  storedAt(tenant: string, id: string): Promise<number | undefined>
  /** Counts a repeat that was recognized without the store. */
  note(result: 'replayed' | 'conflict'): void
}

/**
 * The notification ids of a request with several. If the log knows one, a repeat completes the request at
 * once. Empty for notifications outside any log, which a repeat would send again.
 */
export type PartsOf = (id: string) => readonly string[]

const noParts: PartsOf = () => []

export interface OnceResult {
  readonly answer: string
  /** True if it was answered or stored before: no notification is new. */
  readonly isReplay: boolean
}

interface OnceOptions {
  readonly idempotency: Idempotency
  /** Absent when there is no log. */
  readonly log: Pick<UserLog, 'report'> | undefined
  readonly stats: Pick<Stats, 'idempotency'>
}

/** Maximum released reservations to remember. */
const MAX_GIVEN_UP = 10_000

/** Identifies a request by its endpoint and each part of its content. */
export function fingerprintOf(endpoint: string, ...parts: readonly (string | Uint8Array)[]): string {
  const hash = new Bun.CryptoHasher('sha256').update(endpoint)
  // The length keeps `["ab", "c"]` and `["a", "bc"]` apart.
  for (const part of parts) hash.update(`\0${part.length}\0`).update(part)
  return hash.digest('base64url')
}

/** A UUID v4 (RFC 9562 §5.4) from id and index. A repeated batch repeats no item. */
export function derivedId(id: string, index: number): string {
  const bytes = new Bun.CryptoHasher('sha256').update(`${id}:${index}`).digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** True for a rejected request: it had no effect. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof AppError && error.code !== 'STORE_UNAVAILABLE'

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

export function createOnce({ idempotency, log, stats: { idempotency: counts } }: OnceOptions): Once {
  /** Requests in progress in this process: name → fingerprint. */
  const underWay = new Map<string, string>()
  /**
   * Requests that this process released, by name: a repeat continues under the same id. During an outage the
   * store may have missed the release, or kept an unanswered reservation.
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
        // An earlier attempt may have had an effect that this one had not.
        giveUp(own, as.isRetry ? 'retry' : how)
      },
    }
  }

  const holdAgain = async (claim: Claim, id: string): Promise<KeyClaim> =>
    hold(claim, { id, isRetry: true, storedAt: await storedAt(claim.tenant, id) })

  /** Reserves the key. After an outage the store may have reserved it all the same. */
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
        // Its own earlier attempt, by this process or, with an id derived from the message, by another one.
        if (id === claim.id) return await holdAgain(claim, id)
        // The log took it before the attempt died. Complete it at once: a second append is a no-op.
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
    // Same turn as the check: the second of two concurrent requests finds the first.
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
