import type { Topic } from '../../notification/topic.ts'
import type { Command, LiveConnection, Reply } from './server.ts'

/** Commands that are sent together and answered together. */
export interface Unit {
  /**
   * Builds the commands, in the turn in which they are sent. At `deadline` the caller learns that the outcome is unknown.
   * By the clock of Redis, milliseconds since 1970. May add pairs to `due`: the time when a log has something to remove,
   * and its user. One command notes them for all units, after all their commands.
   */
  readonly build: (
    connection: LiveConnection,
    deadline: number,
    due: (number | Topic)[],
  ) => readonly Command[]
  /** Approximate bytes on the wire. */
  readonly bytes: number
  /** Replies may hold LATE errors, for commands that changed nothing. */
  readonly takesLate?: boolean
}

/** A unit and what it sent. */
export interface SentUnit {
  readonly unit: PendingUnit
  readonly commands: readonly Command[]
  /** Whether the unit noted anything in `due`. */
  readonly isDue: boolean
}

export interface PendingUnit extends Unit {
  readonly resolve: (replies: readonly Reply[]) => void
  readonly reject: (error: Error) => void
  readonly tick: number
  isAnswered: boolean
}
