import type { Snapshot } from '../observe/exposition.ts'

/** First message to a worker: its place among the others. */
export interface StartMessage {
  readonly type: 'start'
  /** Number of the worker, from 1. */
  readonly worker: number
  readonly count: number
  /** Settings that only a restart of the service changes, as they were given. */
  readonly given: Readonly<Record<string, string>>
  /** The values that all workers use for them. */
  readonly fixed: Readonly<Record<string, string>>
  /** JWT secret for all workers when the settings have none. */
  readonly secret: string
  /** How long the worker waits for its store and its bus before it serves. */
  readonly patienceMs: number
  /** True if it replaces a process that serves: it must not serve without them. */
  readonly isSuccessor: boolean
  /** Directory for the sockets between the workers; absent if it cannot be made. */
  readonly links?: string | undefined
  /** True if log lines go to a terminal. */
  readonly colours: boolean
}

/** Messages of the supervisor. A worker ignores unknown types: it may be of another version. */
export type ToWorker =
  | StartMessage
  | { readonly type: 'running'; readonly running: number }
  | { readonly type: 'report' }
  /** The process that it replaced has ended. */
  | { readonly type: 'alone' }
  | { readonly type: 'others'; readonly snapshots: readonly Snapshot[] }
  | { readonly type: 'drain' }
  | { readonly type: 'hand over' }

/** Messages of a worker. */
export type FromWorker =
  /** It serves the port. */
  | { readonly type: 'serving'; readonly drainSeconds: number }
  /** It cannot start, and ends. */
  | { readonly type: 'refused'; readonly line: string }
  /** Its metrics, as asked for or before it ends. */
  | { readonly type: 'report'; readonly metrics: Snapshot }
  /** It asks for the metrics of the others; `own` are those that it is about to show. */
  | { readonly type: 'others'; readonly own: Snapshot }
