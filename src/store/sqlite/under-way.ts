import type { Call, Done } from './batch.ts'

/** A call and its caller. */
export interface Waiting {
  readonly call: Call
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
  /** When it was asked. */
  readonly tick: number
}

/** The batch that the writer has. */
export class UnderWay {
  /** The number of the first call. */
  readonly first: number
  readonly notes: readonly Call[]
  readonly #calls: readonly Waiting[]
  /** So many of the first calls were rejected because their time was up. */
  #givenUp = 0

  constructor(first: number, notes: readonly Call[], calls: readonly Waiting[]) {
    this.first = first
    this.notes = notes
    this.#calls = calls
  }

  /** Rejects all callers that still wait; whether there were any. */
  reject(error: unknown): boolean {
    const left = this.#calls.slice(this.#givenUp)
    for (const { reject } of left) reject(error)
    return left.length > 0
  }

  /** Answers all callers that still wait; gives back the faults that none of them waits for. */
  answer({ skipped, answers, faults }: Done): readonly unknown[] {
    const left = faults.filter(({ answer }) => answer === undefined || answer + skipped < this.#givenUp)
    for (const { answer = -1, error } of faults)
      if (answer + skipped >= this.#givenUp) this.#calls[answer + skipped]?.reject(error)
    // Those that were rejected stay so.
    for (let n = this.#givenUp; n < this.#calls.length; n++) this.#calls[n]?.resolve(answers[n - skipped])
    return left.map(({ error }) => error)
  }

  /** Rejects the callers at the front that are overdue; the number of the last such call, and whether one is new. */
  giveUp(
    isOverdue: (asked: Waiting) => boolean,
    error: Error,
  ): { readonly through: number; readonly isNew: boolean } {
    const inTime = this.#calls.findIndex(asked => !isOverdue(asked))
    const through = inTime < 0 ? this.#calls.length : inTime
    for (const { reject } of this.#calls.slice(this.#givenUp, through)) reject(error)
    const isNew = through > this.#givenUp
    this.#givenUp = through
    return { through: this.first + through - 1, isNew }
  }
}
