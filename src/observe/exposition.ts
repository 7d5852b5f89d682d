import { AggregatorRegistry, type PrometheusContentType, prometheusContentType } from 'prom-client'
import type { Histogram } from './histogram.ts'
import { type Labels, METRICS, type Metric, type MetricSources } from './metrics.ts'

/** Text in the format of Prometheus, version 0.0.4. */
export interface Exposition {
  readonly contentType: string
  /** Writes all metrics of these sources. */
  write(seen: MetricSources): Promise<string>
}

/** Value of a metric in prom-client's JSON. */
interface JsonValue {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

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

/** Shapes a metric like `registry.getMetricsAsJSON()` of prom-client. */
const jsonOf = (name: string, metric: Metric, seen: MetricSources) => ({
  name,
  help: metric.help,
  type: metric.type,
  aggregator: 'sum',
  values: valuesOf(name, metric, seen),
})

const METRICS_PER_TURN = 4

/** Reads our plain numbers at a scrape and lets prom-client write them. */
export const createExposition = (): Exposition => ({
  contentType: prometheusContentType,
  write: async seen => {
    const texts: string[] = []
    const all = Object.entries(METRICS)
    for (let from = 0; from < all.length; from += METRICS_PER_TURN) {
      const some = all.slice(from, from + METRICS_PER_TURN)
      const values = some.map(([name, metric]) => jsonOf(name, metric, seen))
      texts.push(await AggregatorRegistry.aggregate<PrometheusContentType>([values]).metrics())
      // Write in portions: all at once would stall the event loop for milliseconds.
      await new Promise(setImmediate)
    }
    return texts.join('\n')
  },
})
