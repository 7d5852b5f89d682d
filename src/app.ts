import type { Server } from 'bun'
import { createApiKeys } from './auth/api-key.ts'
import { createIdentities } from './auth/identity.ts'
import { tokenSettings } from './auth/jwt.ts'
import { openBus } from './bus/open.ts'
import type { Config } from './config/config.ts'
import { openCluster } from './dispatch/cluster/cluster.ts'
import { openObservedStore } from './dispatch/observed/open.ts'
import { createPipeline, type Pipeline } from './dispatch/pipeline.ts'
import { createDrain, type Drain } from './drain.ts'
import { createRoutes } from './http/all-routes.ts'
import { createQueueTotals } from './http/answer/queue-totals.ts'
import { createApi } from './http/api.ts'
import { createSides, listen } from './http/listeners.ts'
import type { Place } from './http/place.ts'
import { manyTenants, oneTenant, tracedCallers } from './http/request/caller.ts'
import { createClientOf } from './http/request/client.ts'
import { createGuard } from './http/request/guard.ts'
import { createHub } from './hub/hub.ts'
import { type Clock, systemClock } from './lib/time/clock.ts'
import { createLimits } from './limit/limits.ts'
import { tellOfBus } from './observe/bus-lines.ts'
import type { Snapshot } from './observe/exposition.ts'
import { createOnFault } from './observe/fault.ts'
import { watchTime } from './observe/lag.ts'
import type { Logger } from './observe/log.ts'
import { tellRefusals } from './observe/refusals.ts'
import { createRequestSpans } from './observe/request-spans.ts'
import { createStats, type Stats } from './observe/stats.ts'
import { openTracing } from './observe/tracing.ts'
import type { Store } from './store/store.ts'
import type { Peer } from './transport/peer.ts'
import { createTransport, type WrapQueues } from './transport/transport.ts'
import type { WebSocketPeer } from './transport/websocket-peer.ts'
import { startTriggers } from './trigger/triggers.ts'

export interface App extends AsyncDisposable, Drain {
  readonly host: string
  readonly port: number
  /** Port of the operators' listener; undefined without INTERNAL_PORT. */
  readonly internalPort: number | undefined
  readonly stats: Stats
  /** All metrics of this process. */
  metrics(): Promise<Snapshot>
}

export interface AppOptions {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  readonly clock?: Clock
  /** Counts the log lines dropped so far. */
  readonly linesDropped?: () => number
  /** Only for tests, which delay and break the store. */
  readonly wrapStore?: (store: Store) => Store
  /** Only for tests, which add unacknowledged bytes to the kernel's tables. */
  readonly wrapQueues?: WrapQueues
  /** Only with WORKERS above 1. */
  readonly place?: Place | undefined
}

/** Parts that others use at run time but that are made after them. */
interface Late {
  /** The server needs its handlers; they publish over it. */
  server?: Server<WebSocketPeer>
  /** The pipeline needs the store; the store tells it when an outage ends. */
  pipeline?: Pick<Pipeline, 'catchUp'>
}

/** Assembles all parts in dependency order and starts to listen. A failed start closes the parts made so far. */
export async function startApp({
  config,
  version,
  logger,
  clock = systemClock,
  linesDropped = () => 0,
  wrapStore = store => store,
  wrapQueues,
  place,
}: AppOptions): Promise<App> {
  await using starting = new AsyncDisposableStack()
  const late: Late = {}
  const stats = createStats()
  const onFault = createOnFault({ logger, clock, stats })
  const tracing = await openTracing({ settings: config, version, clock, logger })
  /** Spans are exported until then, monotonic milliseconds. */
  let exportUntil = 0
  starting.defer(() => tracing?.close(exportUntil - clock.monotonic()))
  const spans = tracing && createRequestSpans(tracing)
  const onResumed = () => late.pipeline?.catchUp()
  const { busMessages: messages } = stats
  const ofBus = { messages, onBack: onResumed, onFault, links: place?.links, ...tellOfBus(logger, clock) }
  const bus = starting.use(openBus({ settings: config, clock, ...ofBus }))
  const hub = createHub<Peer>(
    bus.kind === 'none'
      ? undefined
      : {
          opened: topic => void bus.join(topic),
          closed: topic => {
            bus.leave(topic)
            cluster?.sharedUsers?.closed(topic)
          },
        },
  )
  const node = { id: config.nodeId, version, since: new Date(clock.now()).toISOString() }
  const basis = { settings: config, onFault, clock, logger, stats, tracing }
  const cluster = starting.use(openCluster({ ...basis, bus, hub, node }))
  const pushSource = cluster?.pushSource
  const { store, observer, storeWatch } = starting.use(
    await openObservedStore({ ...basis, wrapStore, onResumed, pushSource }),
  )
  const lag = starting.use(watchTime(clock, logger))
  const pipeline = createPipeline({
    ...basis,
    hub,
    cluster,
    node,
    store,
    observer,
    publish: (name, text) => late.server?.publish(name, text, false) ?? 0,
    storeWatch,
  })
  starting.use(pipeline)
  late.pipeline = pipeline
  const { composer, dispatch, once, together } = pipeline

  const onRefused = tellRefusals(logger, clock, stats.authFailures)
  const identities = await createIdentities({
    settings: tokenSettings(config),
    clock,
    revokedBefore: owner => store.revocations.before(owner),
    onKeySet: fetched => {
      if (!fetched.ok) logger.warn({ reason: fetched.reason }, 'auth.key_set_unavailable')
    },
  })
  starting.use(identities)

  const peerOf = (request: Request) => late.server?.requestIP(request)?.address
  const limits = starting.use(createLimits({ settings: config, peerOf, clock, stats }))
  const transport = createTransport({
    settings: config,
    hub,
    pipeline,
    identities,
    limits,
    portOf: () => late.server?.port ?? 0,
    fleet: place?.fleet,
    wrapQueues,
    onRefused,
    onFault,
    clock,
    logger,
    stats,
    spans,
  })
  starting.use(transport)
  const { ending, sockets } = transport
  const logEnabled = config.queueEnabled || config.ackEnabled
  const { redisUrl: address, storeMaxBytes: maxBytes } = config

  const isReady = () => store.isUp() && bus.isUp()
  const mayDispatch = () => isReady() && place?.isAlone() !== false
  const sends = { composer, dispatch, once, inOneGo: together.run, isReady: mayDispatch, bus }
  const trigger =
    address && startTriggers({ address, settings: config, ...sends, clock, logger, stats, tracing })
  starting.defer(() => void trigger?.stop())

  const keys = createApiKeys({ keys: config.apiKey, bound: config.tenantApiKeys })
  const tenants = config.tenantEnabled ? manyTenants() : oneTenant()
  const callers = spans === undefined ? tenants : tracedCallers(tenants, spans)
  const sides = createSides(config)
  const { routes, metrics } = createRoutes({
    settings: config,
    version,
    pipeline,
    store,
    bus,
    callers,
    totals: createQueueTotals({ store, logEnabled, maxBytes, onFailed: storeWatch.failed }),
    clientOf: createClientOf({ identities, limit: limits.requests, onRefused, spans }),
    redis: () => trigger?.state,
    sockets: transport.sockets,
    lag,
    linesDropped,
    fleet: place?.fleet,
    ending,
    onRefused,
    clock,
    stats,
    spans,
    transport: transport.routes,
  })
  const api = createApi({
    guard: createGuard({ keys, callers, sideOf: sides.of, limit: limits.requests, onRefused, spans }),
    corsOrigins: config.corsOrigins,
    production: config.production,
    isDraining: () => ending.closing,
    logger,
    clock,
    stats,
    spans,
    routes,
  })
  await place?.untilReady(isReady)
  const listeners = listen({
    settings: config,
    inherited: place?.sockets,
    sides,
    fetch: api.fetch as (request: Request) => Response | Promise<Response>,
    websocket: transport.websocket,
  })
  starting.defer(() => listeners.stop(true))
  late.server = listeners.server
  sockets.guard(listeners.server.port ?? 0)
  // Elysia passes it to handlers as `server`.
  api.server = listeners.server as unknown as typeof api.server

  const running = starting.move()
  const stop = (endsAt = Number.POSITIVE_INFINITY): Promise<void> => {
    exportUntil = endsAt
    return running.disposeAsync()
  }

  return {
    host: config.serverHost,
    port: listeners.server.port ?? config.serverPort,
    internalPort: listeners.internalPort,
    stats,
    metrics,
    ...createDrain({
      drainSeconds: config.drainSeconds,
      openConnections: () => hub.size,
      ending,
      listeners,
      leavePort: () => {
        // Its end of a pause would bring the listener back.
        sockets[Symbol.dispose]()
        listeners.leave()
      },
      stopTriggers: () => trigger?.stop(),
      beforeClose: async () => place?.beforeClose(await metrics()),
      close: stop,
      clock,
      logger,
    }),
    [Symbol.asyncDispose]: () => stop(),
  }
}
