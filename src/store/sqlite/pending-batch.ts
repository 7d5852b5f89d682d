import type { BatchResult, Call } from './batch.ts'

/** A call and its caller. */
export interface PendingCall {
  readonly call: Call
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
  /** Tick at which the call was made. */
  readonly tick: number
}

/** The batch that the writer is processing. */
export class PendingBatch {
  /** Number of the first call. */
  readonly first: number
  readonly notes: readonly Call[]
  readonly #calls: readonly PendingCall[]
  /** Number of calls at the start that timed out. */
  #givenUp = 0

  constructor(first: number, notes: readonly Call[], calls: readonly PendingCall[]) {
    this.first = first
    this.notes = notes
    this.#calls = calls
  }

  /** Rejects all callers that still wait. Returns whether there were any. */
  reject(error: unknown): boolean {
    const left = this.#calls.slice(this.#givenUp)
    for (const { reject } of left) reject(error)
    return left.length > 0
  }

  /** Answers all callers that still wait. Returns the faults that no caller waits for. */
  answer({ skipped, answers, faults }: BatchResult): readonly unknown[] {
    const left = faults.filter(({ answer }) => answer === undefined || answer + skipped < this.#givenUp)
    for (const { answer = -1, error } of faults)
      if (answer + skipped >= this.#givenUp) this.#calls[answer + skipped]?.reject(error)
    // Timed-out calls stay rejected.
    for (let n = this.#givenUp; n < this.#calls.length; n++) this.#calls[n]?.resolve(answers[n - skipped])
    return left.map(({ error }) => error)
  }

  /** Rejects overdue callers at the start. Returns the number of the last one, and whether one is new. */
  giveUp(
    isOverdue: (call: PendingCall) => boolean,
    error: Error,
  ): { readonly through: number; readonly isNew: boolean } {
    const inTime = this.#calls.findIndex(call => !isOverdue(call))
    const through = inTime < 0 ? this.#calls.length : inTime
    for (const { reject } of this.#calls.slice(this.#givenUp, through)) reject(error)
    const isNew = through > this.#givenUp
    this.#givenUp = through
    return { through: this.first + through - 1, isNew }
  }
}
