import type { JsonMetric, Snapshot } from '../observe/exposition.ts'

type Value = JsonMetric['values'][number]

/** Counters of processes that have ended: without them a total would fall when a worker is replaced. */
export interface EndedTotals {
  add(last: Snapshot): void
  readonly snapshot: Snapshot
}

const keyOf = ({ metricName = '', labels }: Value): string => JSON.stringify([metricName, labels])

export function createEndedTotals(): EndedTotals {
  const totals = new Map<string, { readonly metric: JsonMetric; readonly values: Map<string, Value> }>()

  return {
    add: last => {
      for (const metric of last) {
        if (metric.type === 'gauge' || metric.ofWorker) continue
        const { values } = totals.get(metric.name) ?? { values: new Map<string, Value>() }
        for (const value of metric.values) {
          const before = values.get(keyOf(value))?.value ?? 0
          values.set(keyOf(value), { ...value, value: before + value.value })
        }
        totals.set(metric.name, { metric, values })
      }
    },
    get snapshot() {
      return [...totals.values()].map(({ metric, values }) => ({ ...metric, values: [...values.values()] }))
    },
  }
}
