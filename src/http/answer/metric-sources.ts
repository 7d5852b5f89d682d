import type { Bus } from '../../bus/bus.ts'
import type { Census } from '../../dispatch/census.ts'
import type { Members } from '../../dispatch/cluster/members.ts'
import type { LinkState } from '../../lib/redis/reconnecting-link.ts'
import type { Lag } from '../../observe/lag.ts'
import type { MetricSources } from '../../observe/metrics.ts'
import { readProcess } from '../../observe/process.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Store } from '../../store/store.ts'
import type { QueueTotals } from './queue-totals.ts'

interface SourceOptions {
  readonly census: Pick<Census, 'here'>
  readonly stats: Stats
  readonly store: Pick<Store, 'isUp'>
  readonly bus: Pick<Bus, 'isUp'>
  readonly totals: QueueTotals
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  /** Absent without a bus. */
  readonly members: Pick<Members, 'others'> | undefined
  readonly isDraining: () => boolean
  readonly lag: Pick<Lag, 'seconds'>
  readonly linesDropped: () => number
  readonly version: string
  readonly node: string
  /** Number of this worker; undefined with a single process. */
  readonly worker: string | undefined
  /** METRICS_CHANNEL_LIMIT: the number of channels with a series of their own. */
  readonly channelLimit: number
}

/** Makes the function that gathers all that the metrics of this process show. */
export const createMetricSources =
  ({
    census,
    stats,
    store,
    bus,
    totals,
    redis,
    members,
    isDraining,
    lag,
    linesDropped,
    ...fixed
  }: SourceOptions) =>
  async (): Promise<MetricSources> => {
    const { channelLimit, version, node, worker } = fixed
    const [queue, process, largestChannels] = await Promise.all([
      totals(),
      readProcess(),
      census.here.largestChannels(channelLimit),
    ])
    const { byTransport, users, channels } = census.here.totals()
    return {
      stats,
      total: stats.tally.total(),
      connections: byTransport,
      users,
      channels,
      largestChannels,
      redis: redis(),
      queue,
      storeUp: store.isUp(),
      busUp: bus.isUp(),
      nodes: 1 + (members?.others().length ?? 0),
      draining: isDraining(),
      lagSeconds: lag.seconds,
      linesDropped: linesDropped(),
      process,
      version,
      node,
      worker,
    }
  }
