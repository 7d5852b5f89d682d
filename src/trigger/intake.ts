import type { Dispatch } from '../dispatch/dispatcher.ts'
import { LARGE } from '../dispatch/large-calls.ts'
import { Deque } from '../lib/collections/deque.ts'
import { type Envelope, recipientsOf } from '../notification/target.ts'

/** Dispatches messages in order of arrival; no caller waits for an answer. */
export interface Intake<E extends Envelope = Envelope> {
  /** False: over the bound, not taken. */
  take(envelope: E): boolean
  /**
   * Reserves a place for a message that needs a look-up. Later messages wait for it. It counts `bytes` until then.
   * Undefined: over the bound.
   */
  reserve(bytes: number): Fill<E> | undefined
  /** Resolves when all messages taken up to now are dispatched. */
  settled(): Promise<void>
}

/**
 * Fills a reserved place; undefined leaves it empty. False: the envelope is over the bound, and the place stays empty.
 * Only the first call counts.
 */
export type Fill<E extends Envelope = Envelope> = (envelope: E | undefined) => boolean

interface IntakeOptions<E extends Envelope> {
  readonly dispatch: (envelope: E) => ReturnType<Dispatch>
  /** Bound on messages in progress. */
  readonly maxBytes: number
  readonly onFault: (error: unknown, envelope: E) => void
}

/** A place in the order. */
interface Place<E extends Envelope> {
  content: E | 'awaited' | 'nothing'
}

/** Approximate size of a message beside its payload, so that small messages count too. */
const OVERHEAD_BYTES = 1_024

/** Approximate size of each recipient beyond the first. */
const RECIPIENT_BYTES = 64

const isLarge = ({ target }: Envelope): boolean => recipientsOf(target) > LARGE
const isForUsers = ({ target: { type } }: Envelope): boolean => type === 'user' || type === 'users'
const sizeOf = ({ notification, target }: Envelope): number =>
  OVERHEAD_BYTES + notification.payload.length + Math.max(0, recipientsOf(target) - 1) * RECIPIENT_BYTES

/**
 * Appends do not wait for each other: the log keeps their order. They may share a commit. Users receive a message
 * after its append, so a crowd message waits for earlier appends. A message to many users takes turns with
 * other callers; later messages wait behind it.
 */
export function createIntake<E extends Envelope>({
  dispatch,
  maxBytes,
  onFault,
}: IntakeOptions<E>): Intake<E> {
  const waiting = new Deque<Place<E>>()
  let appending = 0
  let isAlone = false
  let bytes = 0
  let isPumping = false
  /** Resolves when nothing is in progress; made when it is awaited. */
  let idle: PromiseWithResolvers<void> | undefined

  const mayGo = (content: Place<E>['content']): boolean => {
    if (content === 'nothing' || content === 'awaited') return content === 'nothing'
    return appending === 0 || (!isAlone && isForUsers(content) && !isLarge(content))
  }

  const release = (size: number): void => {
    bytes -= size
    if (bytes > 0 || idle === undefined) return
    idle.resolve()
    idle = undefined
  }

  const done = (envelope: E): void => {
    if (isForUsers(envelope)) appending--
    if (isLarge(envelope)) isAlone = false
    pump()
    release(sizeOf(envelope))
  }

  const go = (envelope: E): void => {
    if (isForUsers(envelope)) appending++
    if (isLarge(envelope)) isAlone = true
    const failed = (error: unknown): void => {
      done(envelope)
      onFault(error, envelope)
    }
    let dispatched: ReturnType<Dispatch>
    try {
      dispatched = dispatch(envelope)
    } catch (error) {
      failed(error)
      return
    }
    if (dispatched instanceof Promise) dispatched.then(() => done(envelope), failed)
    else done(envelope)
  }

  /** A dispatch may end at once and come back here: the running loop goes on instead. */
  const pump = (): void => {
    if (isPumping) return
    isPumping = true
    try {
      for (let first = waiting.at(0); first !== undefined && mayGo(first.content); first = waiting.at(0)) {
        waiting.shift()
        if (typeof first.content === 'object') go(first.content)
      }
    } finally {
      isPumping = false
    }
  }

  const reserve = (size: number): boolean => {
    if (bytes + size > maxBytes) return false
    bytes += size
    return true
  }

  return {
    take: envelope => {
      if (!reserve(sizeOf(envelope))) return false
      if (waiting.length === 0 && mayGo(envelope)) go(envelope)
      else waiting.insert(waiting.length, { content: envelope })
      return true
    },
    reserve: before => {
      const size = OVERHEAD_BYTES + before
      if (!reserve(size)) return undefined
      const place: Place<E> = { content: 'awaited' }
      waiting.insert(waiting.length, place)
      return envelope => {
        if (place.content !== 'awaited') return false
        const isTaken = envelope === undefined || reserve(sizeOf(envelope) - size)
        place.content = envelope !== undefined && isTaken ? envelope : 'nothing'
        pump()
        if (place.content === 'nothing') release(size)
        return isTaken
      }
    },
    settled: () => {
      if (bytes === 0) return Promise.resolve()
      idle ??= Promise.withResolvers()
      return idle.promise
    },
  }
}
