import type { AnyElysia } from 'elysia'
import type { Bus } from '../bus/bus.ts'
import type { Config } from '../config/config.ts'
import type { Pipeline } from '../dispatch/pipeline.ts'
import type { LinkState } from '../lib/redis/reconnecting-link.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Sockets } from '../limit/sockets.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import type { Store } from '../store/store.ts'
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

interface RouteOptions extends Pick<MetricsOptions, 'lag' | 'linesDropped' | 'onRefused'> {
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
  readonly isDraining: () => boolean
  readonly clock: Clock
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly spans: RequestSpans | undefined
  /** `/ws` and `/sse`. */
  readonly transport: readonly AnyElysia[]
}

/** All routes of the service, with the documents that describe them. */
export function createRoutes(options: RouteOptions): readonly AnyElysia[] {
  const { settings, version, pipeline, store, bus, callers, totals, redis, isDraining, clock, stats } =
    options
  const { composer, dispatch, dispatchNow, largeCalls, once, reach, acknowledgement } = pipeline
  const { census } = reach
  const { nodeId: node, ackEnabled, queueEnabled } = settings
  const logEnabled = queueEnabled || ackEnabled
  const log = logEnabled ? store.log : undefined
  const routes = [
    healthRoutes({
      census,
      store,
      bus,
      logEnabled,
      totals,
      redis,
      isDraining,
      sockets: options.sockets,
      clock,
      version,
      node,
    }),
    metricsRoutes({
      census,
      stats,
      store,
      bus,
      totals,
      redis,
      members: pipeline.cluster?.members,
      isDraining,
      lag: options.lag,
      linesDropped: options.linesDropped,
      version,
      node,
      key: settings.metricsKey,
      channelLimit: settings.metricsChannelLimit,
      onRefused: options.onRefused,
    }),
    notificationRoutes({ composer, dispatch, once, callers, clock }),
    batchRoutes({ composer, dispatch: dispatchNow, largeCalls, once, callers, clock, stats }),
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
  return [...routes, documentRoutes({ groups: routes, version })]
}
