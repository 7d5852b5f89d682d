import { AggregatorRegistry, type PrometheusContentType, prometheusContentType } from 'prom-client'
import { acrossOf } from './across.ts'
import type { Histogram } from './histogram.ts'
import { type Labels, METRICS, type Metric, type MetricSources } from './metrics.ts'

/** Value of a metric in prom-client's JSON. */
interface JsonValue {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** Metric of one process, shaped like `registry.getMetricsAsJSON()` of prom-client. */
export interface JsonMetric {
  readonly name: string
  readonly help: string
  readonly type: Metric['type']
  readonly aggregator: 'sum' | 'min' | 'max'
  /** True if each process keeps a series of its own. */
  readonly ofWorker: boolean
  readonly values: readonly JsonValue[]
}

/** All metrics of one process; plain data, so that it can go to another process. */
export type Snapshot = readonly JsonMetric[]

export const CONTENT_TYPE = prometheusContentType

const METRICS_PER_TURN = 4

/** Makes cumulative buckets: each counts the values up to its bound `le`. */
function histogramValues(name: string, labels: Labels, { bounds, counts, sum }: Histogram): JsonValue[] {
  let count = 0
  const buckets = counts.map((each, n) => {
    count += each
    return { metricName: `${name}_bucket`, labels: { le: bounds[n] ?? '+Inf', ...labels }, value: count }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

const valuesOf = (name: string, metric: Metric, seen: MetricSources): readonly JsonValue[] =>
  metric.type === 'histogram'
    ? metric.read(seen).flatMap(({ labels, histogram }) => histogramValues(name, labels, histogram))
    : metric.read(seen)

function jsonOf(name: string, metric: Metric, seen: MetricSources): JsonMetric {
  const { help, type } = metric
  const across = acrossOf(name)
  const ofWorker = across === 'worker'
  const values = valuesOf(name, metric, seen)
  const { worker } = seen
  return {
    name,
    help,
    type,
    aggregator: ofWorker ? 'sum' : across,
    ofWorker,
    values:
      ofWorker && worker !== undefined
        ? values.map(each => ({ ...each, labels: { ...each.labels, worker } }))
        : values,
  }
}

/** Calls `work` with a few names at once: all of them in one turn would stall the event loop for milliseconds. */
async function inPortions<T>(names: readonly string[], work: (some: readonly string[]) => T | Promise<T>) {
  const results: T[] = []
  for (let from = 0; from < names.length; from += METRICS_PER_TURN) {
    results.push(await work(names.slice(from, from + METRICS_PER_TURN)))
    await new Promise(setImmediate)
  }
  return results
}

const NAMES = Object.keys(METRICS)

/** Reads all metrics of this process. */
export async function readMetrics(seen: MetricSources): Promise<Snapshot> {
  const read = (names: readonly string[]) =>
    names.flatMap(name => {
      const metric = METRICS[name]
      return metric === undefined ? [] : jsonOf(name, metric, seen)
    })
  return (await inPortions(NAMES, read)).flat()
}

/** Writes the metrics of all processes as text for Prometheus, version 0.0.4. */
export async function writeMetrics(snapshots: readonly Snapshot[]): Promise<string> {
  const byName = snapshots.map(snapshot => new Map(snapshot.map(metric => [metric.name, metric])))
  const write = (names: readonly string[]) => {
    const some = byName.map(metrics => names.flatMap(name => metrics.get(name) ?? []))
    return AggregatorRegistry.aggregate<PrometheusContentType>(some).metrics()
  }
  return (await inPortions(NAMES, write)).join('\n')
}
