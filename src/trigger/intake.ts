import type { Dispatch } from '../dispatch/dispatcher.ts'
import { Deque } from '../lib/deque.ts'
import type { Envelope } from '../notification/target.ts'

/** Dispatches in order of arrival what nobody waits for. */
export interface Intake {
  /** False when too much is under way already: it is not taken. */
  take(envelope: Envelope): boolean
  /** Resolves when everything taken up to now is done. */
  settled(): Promise<void>
}

interface IntakeOptions {
  readonly dispatch: Dispatch
  /** What may be under way. */
  readonly maxBytes: number
  readonly onFault: (error: unknown, envelope: Envelope) => void
}

/** What one takes beside its payload, roughly: a flood of small ones is not free. */
const OVERHEAD_BYTES = 1_024

const isForUsers = ({ target: { type } }: Envelope): boolean => type === 'user' || type === 'users'
const sizeOf = ({ notification }: Envelope): number => OVERHEAD_BYTES + notification.payload.length

/**
 * Appends are issued without waiting for each other: the log keeps their order, and they may share a commit. What is for
 * users goes out after its append, what is for a crowd at once: it waits, to come in its place.
 */
export function createIntake({ dispatch, maxBytes, onFault }: IntakeOptions): Intake {
  const waiting = new Deque<Envelope>()
  let appending = 0
  let bytes = 0
  let idle = Promise.withResolvers<void>()

  const mayGo = (envelope: Envelope): boolean => appending === 0 || isForUsers(envelope)

  const done = (envelope: Envelope): void => {
    bytes -= sizeOf(envelope)
    if (isForUsers(envelope)) appending--
    pump()
    if (bytes > 0) return
    idle.resolve()
    idle = Promise.withResolvers()
  }

  const go = (envelope: Envelope): void => {
    if (isForUsers(envelope)) appending++
    dispatch(envelope).then(
      () => done(envelope),
      error => {
        done(envelope)
        onFault(error, envelope)
      },
    )
  }

  const pump = (): void => {
    for (let first = waiting.at(0); first !== undefined && mayGo(first); first = waiting.at(0)) {
      waiting.shift()
      go(first)
    }
  }

  return {
    take: envelope => {
      const size = sizeOf(envelope)
      if (bytes + size > maxBytes) return false
      bytes += size
      if (waiting.length === 0 && mayGo(envelope)) go(envelope)
      else waiting.insert(waiting.length, envelope)
      return true
    },
    settled: () => (bytes === 0 ? Promise.resolve() : idle.promise),
  }
}
