import type { Snapshot } from './exposition.ts'

/** Metrics that other processes of the service contribute to an answer. */
export interface FleetMetrics {
  /** Of the processes that answered, of replaced and of ended ones. */
  readonly snapshots: readonly Snapshot[]
  /** 1 if the worker of this number answered, else 0. */
  readonly up: Readonly<Record<string, number>>
  /** Workers that were started again after they ended. */
  readonly restarts: number
  /** Log lines that the supervisor dropped. */
  readonly linesDropped: number
}

/** All workers of the service, as one of them sees them. */
export interface Fleet {
  /** Number of this worker: 1, 2 … */
  readonly worker: string
  readonly configured: number
  readonly running: number
  /** Asks the others; resolves within about half a second, without those that did not answer. */
  metrics(): Promise<FleetMetrics>
}
