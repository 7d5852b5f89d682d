import type { AnyElysia } from 'elysia'
import type { Bus } from '../bus/bus.ts'
import type { Config } from '../config/config.ts'
import type { Pipeline } from '../dispatch/pipeline.ts'
import type { LinkState } from '../lib/redis/reconnecting-link.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Sockets } from '../limit/sockets.ts'
import { readMetrics, type Snapshot } from '../observe/exposition.ts'
import type { Fleet } from '../observe/fleet.ts'
import type { Lag } from '../observe/lag.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import type { Store } from '../store/store.ts'
import { createMetricSources } from './answer/metric-sources.ts'
import type { QueueTotals } from './answer/queue-totals.ts'
import type { Callers } from './request/caller.ts'
import type { ClientOf } from './request/client.ts'
import { batchRoutes } from './routes/batch/batch.ts'
import { channelRoutes } from './routes/channels.ts'
import { clusterRoutes } from './routes/cluster.ts'
import { documentRoutes } from './routes/documents.ts'
import { healthRoutes } from './routes/health.ts'
import { historyRoutes } from './routes/history.ts'
import { meRoutes } from './routes/me.ts'
import { type MetricsOptions, metricsRoutes } from './routes/metrics.ts'
import { notificationRoutes } from './routes/notifications.ts'
import { statsRoutes } from './routes/stats.ts'
import { templateRoutes } from './routes/templates.ts'
import { tenantRoutes } from './routes/tenants.ts'
import { userRoutes } from './routes/users.ts'

interface RouteOptions extends Pick<MetricsOptions, 'onRefused'> {
  readonly settings: Pick<
    Config,
    'nodeId' | 'queueEnabled' | 'ackEnabled' | 'tenantEnabled' | 'metricsKey' | 'metricsChannelLimit'
  >
  readonly version: string
  readonly pipeline: Pipeline
  readonly store: Store
  readonly bus: Bus
  readonly callers: Callers
  readonly totals: QueueTotals
  readonly clientOf: ClientOf
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  readonly sockets: Pick<Sockets, 'state'>
  readonly lag: Pick<Lag, 'seconds'>
  readonly linesDropped: () => number
  /** The processes that share the port; undefined with a single one. */
  readonly fleet: Fleet | undefined
  /** State of the drain. */
  readonly ending: { readonly draining: boolean; readonly closing: boolean }
  readonly clock: Clock
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly spans: RequestSpans | undefined
  /** `/ws` and `/sse`. */
  readonly transport: readonly AnyElysia[]
}

interface Routes {
  readonly routes: readonly AnyElysia[]
  /** All metrics of this process, as `/metrics` shows them. */
  readonly metrics: () => Promise<Snapshot>
}

/** All routes of the service, with the documents that describe them. */
export function createRoutes(options: RouteOptions): Routes {
  const { settings, version, pipeline, store, bus, callers, totals, redis, ending, clock, stats } = options
  const { composer, dispatch, dispatchNow, largeCalls, once, reach, together, acknowledgement } = pipeline
  const { census } = reach
  const { nodeId: node, ackEnabled, queueEnabled } = settings
  const { fleet } = options
  const logEnabled = queueEnabled || ackEnabled
  const log = logEnabled ? store.log : undefined
  const sources = createMetricSources({
    census,
    stats,
    store,
    bus,
    totals,
    redis,
    members: pipeline.cluster?.members,
    isDraining: () => ending.closing,
    lag: options.lag,
    linesDropped: options.linesDropped,
    version,
    node,
    worker: fleet?.worker,
    channelLimit: settings.metricsChannelLimit,
  })
  const routes = [
    healthRoutes({
      census,
      store,
      bus,
      logEnabled,
      totals,
      redis,
      isDraining: () => ending.draining,
      sockets: options.sockets,
      clock,
      version,
      node,
      fleet,
    }),
    metricsRoutes({
      sources,
      fleet,
      key: settings.metricsKey,
      onRefused: options.onRefused,
    }),
    notificationRoutes({ composer, dispatch, once, callers, clock }),
    batchRoutes({
      composer,
      dispatch: dispatchNow,
      largeCalls,
      once,
      callers,
      clock,
      stats,
      togetherUntilAwait: together.untilAwait,
    }),
    templateRoutes({ templates: store.templates, callers, clock }),
    channelRoutes({ census, callers }),
    clusterRoutes({ census, callers, node }),
    userRoutes({ reach, callers, store, clock }),
    tenantRoutes({ census, callers, tenancy: settings.tenantEnabled }),
    statsRoutes({ census, callers, ackEnabled, redis }),
    historyRoutes({ log, callers }),
    meRoutes({ log, acknowledgement, clientOf: options.clientOf, spans: options.spans }),
    ...options.transport,
  ]
  return {
    routes: [...routes, documentRoutes({ groups: routes, version })],
    metrics: async () => readMetrics(await sources()),
  }
}
