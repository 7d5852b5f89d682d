import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import { recordOf } from './frames.ts'
import { STRANGER_MS } from './lease.ts'
import type { Peer } from './peer.ts'

/** Waits until siblings have handled all that was sent to them before. */
export interface Confirmations extends Disposable {
  /** Asks these siblings, after all that goes to them in this turn. One question serves the whole turn. */
  atEndOfTurn(peers: readonly Peer[]): Promise<void>
  /** Asks one sibling now. */
  of(peer: Peer): Promise<void>
  /** The sibling has handled all up to this question. */
  arrive(peer: Peer, number: number): void
  /** Its link has ended. `isStrange`: it may publish without knowing of this worker until its lease has ended. */
  forget(peer: Peer, isStrange: boolean): void
  /** Whether there is no such sibling now. */
  isClear(): boolean
}

interface Question {
  readonly number: number
  readonly waiting: Set<Peer>
  readonly done: PromiseWithResolvers<void>
  ticks: number
}

interface ConfirmationsOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** The sibling did not answer for a second. */
  readonly onSilent: (peer: Peer) => void
}

/** Counts ticks, not clock time: a stall of this worker must not blame others. */
const TICK_MS = 100
const ANSWER_TICKS = 10

export function createConfirmations({ clock, onSilent }: ConfirmationsOptions): Confirmations {
  const questions = new Set<Question>()
  let last = 0
  let ofTurn: Question | undefined
  /** Monotonic milliseconds. */
  let strangeUntil = 0

  const finish = (question: Question): void => {
    questions.delete(question)
    const ms = strangeUntil - clock.monotonic()
    if (ms > 0) setTimeout(question.done.resolve, ms)
    else question.done.resolve()
  }

  const confirm = (question: Question, peer: Peer): void => {
    if (question.waiting.delete(peer) && question.waiting.size === 0) finish(question)
  }

  const begin = (): Question => {
    const question = {
      number: ++last,
      waiting: new Set<Peer>(),
      done: Promise.withResolvers<void>(),
      ticks: 0,
    }
    questions.add(question)
    return question
  }

  const ask = (question: Question): void => {
    for (const { out } of question.waiting) out?.put(recordOf('sync', String(question.number)))
    if (question.waiting.size === 0) finish(question)
  }

  const askAtEndOfTurn = (): Question => {
    const question = begin()
    queueMicrotask(() => {
      ofTurn = undefined
      ask(question)
    })
    return question
  }

  const ticks = every(TICK_MS, () => {
    for (const question of questions)
      if (++question.ticks >= ANSWER_TICKS) for (const peer of question.waiting) onSilent(peer)
  })

  return {
    atEndOfTurn: peers => {
      ofTurn ??= askAtEndOfTurn()
      for (const peer of peers) ofTurn.waiting.add(peer)
      return ofTurn.done.promise
    },
    of: peer => {
      const question = begin()
      question.waiting.add(peer)
      ask(question)
      return question.done.promise
    },
    arrive: (peer, number) => {
      for (const question of questions) if (question.number <= number) confirm(question, peer)
    },
    forget: (peer, isStrange) => {
      if (isStrange) strangeUntil = clock.monotonic() + STRANGER_MS
      for (const question of questions) confirm(question, peer)
    },
    isClear: () => clock.monotonic() >= strangeUntil,
    [Symbol.dispose]: () => ticks[Symbol.dispose](),
  }
}
