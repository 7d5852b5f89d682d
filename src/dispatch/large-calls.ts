import { unavailable } from '../errors.ts'
import { FairQueue } from '../lib/collections/fair-queue.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { recipientsOf } from '../notification/target.ts'
import type { Dispatch } from './dispatcher.ts'

/** The size of a call. */
export interface CallSize {
  /** Addressed users; crowds count 0. */
  readonly recipients: number
  /** Bytes held while the call waits, without the recipients. */
  readonly bytes: number
}

/**
 * Runs small calls at once and large calls in turn, tenant by tenant. Large calls of one tenant do not delay
 * small calls or other tenants. Rejects with STORE_UNAVAILABLE if too many calls wait, or one waits too long.
 */
export type LargeCalls = <T>(tenant: string, size: CallSize, work: () => Awaitable<T>) => Promise<T>

/** A call with more recipients than this is large. */
export const LARGE = 256
/** Recipients of the large calls that run at once; a larger call runs alone. */
const MAX_AT_ONCE = 10_000
/** Bounds of waiting calls, in all and per tenant. */
const MAX_WAITING_BYTES = 256 * 1024 * 1024
const MAX_WAITING_TENANT_BYTES = 64 * 1024 * 1024
/** Approximate size of a recipient in memory. */
const RECIPIENT_BYTES = 64
const MAX_WAIT_MS = 30_000

interface Waiting {
  readonly tenant: string
  readonly recipients: number
  readonly bytes: number
  readonly since: number
  readonly start: () => void
  readonly refuse: () => void
}

export function createLargeCalls(clock: Pick<Clock, 'monotonic'>): LargeCalls {
  const queue = new FairQueue<Waiting>()
  /** Bytes of waiting calls by tenant. */
  const waiting = new Map<string, number>()
  let waitingBytes = 0
  let underWay = 0

  const hold = (tenant: string, bytes: number): void => {
    waitingBytes += bytes
    const left = (waiting.get(tenant) ?? 0) + bytes
    if (left > 0) waiting.set(tenant, left)
    else waiting.delete(tenant)
  }

  const fits = (recipients: number): boolean => underWay === 0 || underWay + recipients <= MAX_AT_ONCE

  const startNext = (): void => {
    for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
      const { tenant, recipients, bytes, since, start, refuse } = next
      const isLate = clock.monotonic() - since > MAX_WAIT_MS
      if (!isLate && !fits(recipients)) return
      queue.shift()
      hold(tenant, -bytes)
      if (isLate) refuse()
      else {
        underWay += recipients
        start()
      }
    }
  }

  const turn = (tenant: string, { recipients, bytes: text }: CallSize): Promise<void> => {
    const bytes = text + recipients * RECIPIENT_BYTES
    const isFull =
      waitingBytes + bytes > MAX_WAITING_BYTES ||
      (waiting.get(tenant) ?? 0) + bytes > MAX_WAITING_TENANT_BYTES
    if (isFull) throw unavailable(new Error('too many large calls wait'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const refuse = () => reject(unavailable(new Error('a large call has waited too long for its turn')))
    hold(tenant, bytes)
    queue.push(tenant, { tenant, recipients, bytes, since: clock.monotonic(), start: resolve, refuse })
    startNext()
    return promise
  }

  return async (tenant, size, work) => {
    if (size.recipients <= LARGE) return work()
    await turn(tenant, size)
    try {
      return await work()
    } finally {
      underWay -= size.recipients
      startNext()
    }
  }
}

/** Dispatches an envelope with many recipients in its turn. */
export const inTurn =
  (dispatch: Dispatch, largeCalls: LargeCalls): Dispatch =>
  envelope => {
    const { tenant, target, notification } = envelope
    const recipients = recipientsOf(target)
    if (recipients <= LARGE) return dispatch(envelope)
    return largeCalls(tenant, { recipients, bytes: notification.payload.length }, () => dispatch(envelope))
  }
