import { Counter, Gauge, Histogram as PromHistogram, Registry } from 'prom-client'
import type { Histogram } from './histogram.ts'
import { type Labels, METRICS, type Metric, type Seen, type Spread } from './metrics.ts'

/** Texts in the format of Prometheus, version 0.0.4. */
export interface Exposition {
  readonly contentType: string
  /** All metrics as they are seen. One at a time. */
  write(seen: Seen): Promise<string>
}

/** Bounds as they stand in `le`, with how many values lie within each. */
function* withinOf({ bounds, counts }: Histogram): Iterable<readonly [le: number | '+Inf', within: number]> {
  let within = 0
  for (const [n, count] of counts.entries()) {
    within += count
    yield [bounds[n] ?? '+Inf', within]
  }
}

const samplesOf = (name: string, labels: Labels, histogram: Histogram) => [
  ...[...withinOf(histogram)].map(([le, value]) => ({
    metricName: `${name}_bucket`,
    labels: { le },
    sharedLabels: labels,
    value,
  })),
  { metricName: `${name}_sum`, labels: {}, sharedLabels: labels, value: histogram.sum },
  { metricName: `${name}_count`, labels: {}, sharedLabels: labels, value: histogram.count },
]

interface SpreadOptions {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly registers: Registry[]
  readonly buckets: number[]
}

/** Reads our own histograms when it is asked: the library's take 0.4 to 1.3 µs for each value, ours 0.02. */
class ReadHistogram extends PromHistogram {
  /** What the registry asks a histogram for. */
  readonly getForPromString: () => Promise<object>

  constructor(options: SpreadOptions, read: () => readonly Spread[]) {
    super(options)
    const { name, help } = options
    this.getForPromString = async () => ({
      name,
      help,
      type: 'histogram',
      values: read().flatMap(({ labels, histogram }) => samplesOf(name, labels, histogram)),
    })
  }
}

const METRICS_PER_TURN = 4

export function createExposition(): Exposition {
  // One of its own: two apps in one process count apart.
  const registry = new Registry()
  let seen: Seen | undefined

  const reader =
    <T>(read: (seen: Seen) => readonly T[]) =>
    (): readonly T[] =>
      seen === undefined ? [] : read(seen)

  const register = (name: string, metric: Metric): void => {
    const options = { name, help: metric.help, labelNames: metric.labels, registers: [registry] }
    if (metric.type === 'histogram') {
      new ReadHistogram({ ...options, buckets: [...metric.bounds] }, reader(metric.read))
      return
    }
    const read = reader(metric.read)
    if (metric.type === 'counter')
      new Counter({
        ...options,
        collect() {
          this.reset()
          for (const { labels, value } of read()) this.inc(labels, value)
        },
      })
    else
      new Gauge({
        ...options,
        collect() {
          this.reset()
          for (const { labels, value } of read()) this.set(labels, value)
        },
      })
  }

  for (const [name, metric] of Object.entries(METRICS)) register(name, metric)
  return {
    contentType: registry.contentType,
    write: async now => {
      seen = now
      const texts: string[] = []
      for (const name of Object.keys(METRICS)) {
        // All at once would hold up the event loop for some milliseconds.
        if (texts.length % METRICS_PER_TURN === 0) await new Promise(setImmediate)
        texts.push(await registry.getSingleMetricAsString(name))
      }
      return `${texts.join('\n\n')}\n`
    },
  }
}
