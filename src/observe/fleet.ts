import type { Snapshot } from './exposition.ts'

/** All workers of the service, as one of them sees them. */
export interface Fleet {
  /** Number of this worker: `1`, `2` … */
  readonly worker: string
  readonly configured: number
  readonly running: number
  /** Whether the node is a worker of this service, and all of them end now. */
  endsToo(node: string): boolean
  /**
   * Resolves with the metrics of the other workers and of all of them together, within about half a second and without
   * those that did not answer. `own` are the metrics that this worker is about to show.
   */
  others(own: Snapshot): Promise<readonly Snapshot[]>
}

interface FleetState {
  /** 1 if the worker of this number answered, else 0. */
  readonly up: Readonly<Record<string, number>>
  /** Workers that were started again after they ended. */
  readonly restarts: number
  /** Log lines that the supervisor dropped. */
  readonly linesDropped: number
}

/** Metrics that no worker knows by itself. */
export function fleetMetrics({ up, restarts, linesDropped }: FleetState): Snapshot {
  const metric = { help: '', aggregator: 'sum', ofWorker: false } as const
  return [
    {
      ...metric,
      name: 'ara_worker_up',
      type: 'gauge',
      values: Object.entries(up).map(([worker, value]) => ({ labels: { worker }, value })),
    },
    {
      ...metric,
      name: 'ara_worker_restarts_total',
      type: 'counter',
      values: [{ labels: {}, value: restarts }],
    },
    {
      ...metric,
      name: 'ara_log_lines_dropped_total',
      type: 'counter',
      values: [{ labels: {}, value: linesDropped }],
    },
  ]
}
