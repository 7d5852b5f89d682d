import { createApiKeys } from './auth/api-key.ts'
import { createIdentities } from './auth/identity.ts'
import { tokenSettings } from './auth/jwt.ts'
import type { Config } from './config/config.ts'
import { observeEntries } from './dispatch/observed/entry-stats.ts'
import { traceStore } from './dispatch/observed/spans.ts'
import { meterStore } from './dispatch/observed/store-meter.ts'
import { watchStore } from './dispatch/observed/store-watch.ts'
import { createPipeline } from './dispatch/pipeline.ts'
import { createQueueTotals } from './http/answer/queue-totals.ts'
import { createApi } from './http/api.ts'
import { createSides, type Listeners, listen } from './http/listeners.ts'
import { manyTenants, oneTenant, tracedCallers } from './http/request/caller.ts'
import { createClientOf } from './http/request/client.ts'
import { createGuard } from './http/request/guard.ts'
import { batchRoutes } from './http/routes/batch/batch.ts'
import { channelRoutes } from './http/routes/channels.ts'
import { clusterRoutes } from './http/routes/cluster.ts'
import { documentRoutes } from './http/routes/documents.ts'
import { healthRoutes } from './http/routes/health.ts'
import { historyRoutes } from './http/routes/history.ts'
import { meRoutes } from './http/routes/me.ts'
import { metricsRoutes } from './http/routes/metrics.ts'
import { notificationRoutes } from './http/routes/notifications.ts'
import { statsRoutes } from './http/routes/stats.ts'
import { templateRoutes } from './http/routes/templates.ts'
import { tenantRoutes } from './http/routes/tenants.ts'
import { userRoutes } from './http/routes/users.ts'
import { createHub } from './hub/hub.ts'
import { type Clock, systemClock } from './lib/time/clock.ts'
import { createLimits } from './limit/limits.ts'
import { createOnFault } from './observe/fault.ts'
import { watchTime } from './observe/lag.ts'
import type { Logger } from './observe/log.ts'
import { tellRefusals } from './observe/refusals.ts'
import { createRequestSpans } from './observe/request-spans.ts'
import { createStats, type Stats } from './observe/stats.ts'
import { tellOfStore } from './observe/store-lines.ts'
import { openTracing } from './observe/tracing.ts'
import { openStore } from './store/open.ts'
import type { Store } from './store/store.ts'
import type { Peer } from './transport/peer.ts'
import { createTransport, type WrapQueues } from './transport/transport.ts'
import type { WebSocketPeer } from './transport/websocket-peer.ts'
import { startPubSub } from './trigger/pubsub.ts'

export interface App extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Undefined without INTERNAL_PORT. */
  readonly internalPort: number | undefined
  readonly stats: Stats
  /** Sends every client away and resolves when what was in flight is answered, at the latest DRAIN_SECONDS and a little later. */
  drain(): Promise<void>
}

export interface AppOptions {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  readonly clock?: Clock
  /** Log lines that were dropped so far. */
  readonly linesDropped?: () => number
  /** Instead of the one STORE_URL names: tests delay and break it. */
  readonly wrapStore?: (store: Store) => Store
  /** Instead of the kernel's tables: tests let clients owe bytes. */
  readonly wrapQueues?: WrapQueues
}

/** What is left of the last second after DRAIN_SECONDS for cutting what did not go. */
const CUT_BEFORE_END_MS = 300

/** Puts every part together in dependency order and starts to listen. */
export async function startApp({
  config,
  version,
  logger,
  clock = systemClock,
  linesDropped = () => 0,
  wrapStore = store => store,
  wrapQueues,
}: AppOptions): Promise<App> {
  const stats = createStats()
  const onFault = createOnFault({ logger, clock, stats })
  const hub = createHub<Peer>()
  const observer = observeEntries(stats, () => pipeline.catchUp())
  const storeLines = tellOfStore(logger, clock)
  const opened = await openStore({ settings: config, clock, observer, onFault, ...storeLines })
  const tracing = await openTracing({ settings: config, version, clock, logger })
  const spans = tracing && createRequestSpans(tracing)
  const metered = meterStore(wrapStore(opened), { clock, stats })
  const store = tracing === undefined ? metered : traceStore(metered, tracing)
  const storeWatch = watchStore({ store, clock, logger, onFault })
  const lag = watchTime(clock, logger)
  const pipeline = createPipeline({
    settings: config,
    hub,
    store,
    observer,
    publish: (name, text) => listeners.server.publish(name, text, false),
    storeWatch,
    onFault,
    clock,
    stats,
    tracing,
  })
  const { composer, dispatch, dispatchNow, largeCalls, once } = pipeline

  const onRefused = tellRefusals(logger, clock, stats.authFailures)
  const identities = await createIdentities({
    settings: tokenSettings(config),
    clock,
    revokedBefore: owner => store.revocations.before(owner),
    onKeySet: fetched => {
      if (!fetched.ok) logger.warn({ reason: fetched.reason }, 'auth.key_set_unavailable')
    },
  })

  const peerOf = (request: Request) => listeners.server.requestIP(request)?.address
  const limits = createLimits({ settings: config, peerOf, clock, stats })
  const transport = createTransport({
    settings: config,
    hub,
    pipeline,
    identities,
    limits,
    portOf: () => listeners.server.port ?? 0,
    wrapQueues,
    onRefused,
    persist: pipeline.persist,
    onFault,
    clock,
    logger,
    stats,
    spans,
  })
  const { sessions, sockets } = transport
  const logEnabled = config.queueEnabled || config.ackEnabled
  const isDraining = () => sessions.draining
  const redis = () => trigger?.state
  const node = config.nodeId

  const keys = createApiKeys({ keys: config.apiKey, bound: config.tenantApiKeys })
  const tenants = config.tenantEnabled ? manyTenants() : oneTenant()
  const callers = spans === undefined ? tenants : tracedCallers(tenants, spans)
  const userLog = logEnabled ? store.log : undefined
  const totals = createQueueTotals({
    store,
    logEnabled,
    maxBytes: config.storeMaxBytes,
    onFailed: storeWatch.failed,
  })
  const clientOf = createClientOf({ identities, limit: limits.requests, onRefused, spans })
  const sides = createSides(config)
  const api = createApi({
    guard: createGuard({ keys, callers, sideOf: sides.of, limit: limits.requests, onRefused, spans }),
    corsOrigins: config.corsOrigins,
    production: config.production,
    isDraining,
    logger,
    clock,
    stats,
    spans,
    routes: [
      healthRoutes({ hub, store, logEnabled, totals, redis, isDraining, sockets, clock, version, node }),
      metricsRoutes({
        hub,
        stats,
        store,
        totals,
        redis,
        isDraining,
        lag,
        linesDropped,
        version,
        node,
        key: config.metricsKey,
        channelLimit: config.metricsChannelLimit,
        onRefused,
      }),
      notificationRoutes({ composer, dispatch, once, callers, clock }),
      batchRoutes({ composer, dispatch: dispatchNow, largeCalls, once, callers, clock, stats }),
      templateRoutes({ templates: store.templates, callers, clock }),
      channelRoutes({ hub, callers }),
      clusterRoutes({ hub, callers, clock, version, node: config.nodeId }),
      userRoutes({ hub, callers, store, clock }),
      tenantRoutes({ hub, callers, stats, tenancy: config.tenantEnabled }),
      statsRoutes({
        hub,
        callers,
        stats,
        ackEnabled: config.ackEnabled,
        redis,
      }),
      historyRoutes({ log: userLog, callers }),
      meRoutes({ log: userLog, acknowledgement: pipeline.acknowledgement, clientOf, spans }),
      documentRoutes({ routes: () => api.routes, version }),
      ...transport.routes,
    ],
  })
  const listeners: Listeners<WebSocketPeer> = listen({
    settings: config,
    sides,
    fetch: api.fetch as (request: Request) => Response | Promise<Response>,
    websocket: transport.websocket,
  })
  sockets.guard(listeners.server.port ?? 0)
  // What handlers receive as `server`.
  api.server = listeners.server as unknown as typeof api.server

  const { redisUrl: address } = config
  const trigger =
    address &&
    startPubSub({ address, settings: config, composer, dispatch, once, clock, logger, stats, tracing })

  /** Traces are sent until then, monotonic milliseconds. */
  const stop = async (endsAt = Number.POSITIVE_INFINITY): Promise<void> => {
    void trigger?.stop()
    await listeners.stop(true)
    transport[Symbol.dispose]()
    identities[Symbol.dispose]()
    limits[Symbol.dispose]()
    pipeline[Symbol.dispose]()
    lag[Symbol.dispose]()
    storeWatch[Symbol.dispose]()
    await store[Symbol.asyncDispose]()
    await tracing?.close(endsAt - clock.monotonic())
  }

  return {
    host: config.serverHost,
    port: listeners.server.port ?? config.serverPort,
    internalPort: listeners.internalPort,
    stats,
    drain: async () => {
      const endsAt = clock.monotonic() + config.drainSeconds * 1000 + 1000 - CUT_BEFORE_END_MS
      logger.info({ connections: hub.size, seconds: config.drainSeconds }, 'drain.started')
      // In one turn: nothing new is heard, and readiness says no.
      const dispatched = trigger?.stop()
      await sessions.drain(config.drainSeconds)
      const ended = Promise.all([listeners.stop(), dispatched])
      await Promise.race([ended, Bun.sleep(Math.max(0, endsAt - clock.monotonic()))])
      // A disk that hangs must not keep the process: what was answered does not need it any more.
      const left = endsAt + CUT_BEFORE_END_MS / 2 - clock.monotonic()
      await Promise.race([stop(endsAt), Bun.sleep(Math.max(0, left))])
      logger.info({}, 'drain.ended')
    },
    [Symbol.asyncDispose]: () => stop(),
  }
}
