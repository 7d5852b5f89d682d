import { type Call, takeBatch, weightOf } from './batch.ts'

/** Calls that no caller waits for, collected until a batch takes them. */
export interface Notes {
  readonly isEmpty: boolean
  /** Returns whether the note was accepted. Beyond a bound it is dropped. */
  add(note: Call): boolean
  /** Takes a bounded number of notes, in order. */
  take(): readonly Call[]
  /** Returns notes whose batch was not written. */
  putBack(notes: readonly Call[]): void
}

/** Weight per batch, in entries, so that callers do not wait for many notes. */
const MAX_NOTES = 2_000
const MAX_HANDED = 500
/** Total weight that may wait. */
const MAX_NOTED = 1_000_000

const isHanded = ([verb]: Call): boolean => verb === 'handed'

export function createNotes(): Notes {
  let notes: Call[] = []
  /** Kept apart: only delivery records need them, so each batch takes fewer. */
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
