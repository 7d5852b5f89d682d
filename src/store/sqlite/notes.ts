import { type Call, takeBatch, weightOf } from './batch.ts'

/** Calls that no caller waits for, until a batch takes them along. */
export interface Notes {
  readonly isEmpty: boolean
  /** Whether it was taken; beyond a bound it is forgotten. */
  add(note: Call): boolean
  /** A bounded part of them, in order. */
  take(): readonly Call[]
  /** The batch that took them was not written. */
  putBack(notes: readonly Call[]): void
}

/** Weights of one batch, in entries: callers must not wait for much that was handed over. */
const MAX_NOTES = 2_000
const MAX_HANDED = 500
/** Weight that may wait. */
const MAX_NOTED = 1_000_000

const isHanded = ([verb]: Call): boolean => verb === 'handed'

export function createNotes(): Notes {
  let notes: Call[] = []
  /** What is only told for the record. */
  let handed: Call[] = []
  let weight = 0

  return {
    get isEmpty() {
      return notes.length + handed.length === 0
    },
    add: note => {
      if (weight >= MAX_NOTED) return false
      ;(isHanded(note) ? handed : notes).push(note)
      weight += weightOf(note)
      return true
    },
    take: () => {
      const some = [...takeBatch(notes, weightOf, MAX_NOTES), ...takeBatch(handed, weightOf, MAX_HANDED)]
      for (const note of some) weight -= weightOf(note)
      return some
    },
    putBack: given => {
      notes = [...given.filter(note => !isHanded(note)), ...notes]
      handed = [...given.filter(isHanded), ...handed]
      for (const note of given) weight += weightOf(note)
    },
  }
}
