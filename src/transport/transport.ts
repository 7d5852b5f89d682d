import type { WebSocketHandler } from 'bun'
import type { AnyElysia } from 'elysia'
import type { Identities } from '../auth/identity.ts'
import { createOrigins } from '../auth/origin.ts'
import type { Config } from '../config/config.ts'
import type { Pipeline } from '../dispatch/pipeline.ts'
import type { Hub } from '../hub/hub.ts'
import { takingTurns } from '../lib/flow/taking-turns.ts'
import { openSendQueues, type SendQueues } from '../lib/system/send-queues.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Limits } from '../limit/limits.ts'
import { createSockets, type Sockets } from '../limit/sockets.ts'
import { userTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Fleet } from '../observe/fleet.ts'
import type { Logger } from '../observe/log.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import { tellOfSockets } from '../observe/sockets.ts'
import type { Stats } from '../observe/stats.ts'
import { type AdmissionOptions, createAdmission } from './admission.ts'
import { createConversation } from './conversation.ts'
import { createEnding, type Ending } from './ending.ts'
import { createFreeStream } from './free-stream.ts'
import { createJoinChannels } from './join-channels.ts'
import { keepAlive } from './liveness.ts'
import { createMakeRoom } from './make-room.ts'
import type { Peer } from './peer.ts'
import { createRenewal, type RenewalOptions } from './renewal.ts'
import { createSessions } from './session.ts'
import { sseRoutes } from './sse.ts'
import { watchStreams } from './stream-watch.ts'
import { webSocketHandler, webSocketRoutes } from './websocket.ts'
import type { WebSocketPeer } from './websocket-peer.ts'

/** All parts between client sockets and the pipeline, assembled from the settings. */
export interface Transport extends Disposable {
  readonly ending: Ending
  readonly sockets: Sockets
  /** `/ws` and `/sse`. */
  readonly routes: readonly AnyElysia[]
  readonly websocket: WebSocketHandler<WebSocketPeer>
}

export type WrapQueues = (queues: SendQueues) => SendQueues

interface TransportOptions {
  readonly settings: Pick<
    Config,
    | 'channelAccess'
    | 'corsOrigins'
    | 'drainSeconds'
    | 'jwtLeewaySeconds'
    | 'keepAliveSeconds'
    | 'maxSockets'
    | 'sendBufferBytes'
    | 'trustedProxies'
    | 'websocketCleanupInterval'
    | 'websocketConnectionTimeout'
    | 'websocketHeartbeatInterval'
    | 'websocketMaxConnections'
    | 'websocketMaxSubscriptionsPerConnection'
  >
  readonly hub: Hub<Peer>
  readonly pipeline: Pipeline
  readonly identities: Identities
  readonly limits: Limits
  readonly portOf: () => number
  /** The processes that share the port; undefined with a single one. */
  readonly fleet?: Pick<Fleet, 'endsToo'> | undefined
  readonly wrapQueues?: WrapQueues | undefined
  readonly onRefused: AdmissionOptions['onRefused'] & RenewalOptions['onRefused']
  readonly onFault: OnFault
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly spans?: RequestSpans | undefined
}

export function createTransport(options: TransportOptions): Transport {
  const { settings, hub, pipeline, identities, limits, onRefused, onFault, clock, logger, stats } = options
  const { reach, room, delivery, receipts, acknowledgement, buffers, together, persist, cluster } = pipeline
  const { sendBufferBytes, channelAccess: access, websocketHeartbeatInterval: heartbeatSeconds } = settings

  const joinChannels = createJoinChannels({ hub, interest: cluster?.interest })
  const conversation = createConversation({
    hub,
    clock,
    access,
    limits,
    renew: createRenewal({ hub, identities, access, clock, onRefused, onFault }),
    acknowledgement,
    persist,
    stats,
    joinChannels,
  })
  const sessions = createSessions({
    hub,
    reach,
    interest: cluster?.interest,
    delivery,
    receipts,
    conversation,
    joinChannels,
    onFault,
    clock,
    logger,
    stats,
    maxConnections: settings.websocketMaxConnections,
    limitsOf: limits.of,
    isRevoked: identities.isRevoked,
    persist,
    heartbeatSeconds,
    maxHeldBytes: sendBufferBytes,
  })
  const ending = createEnding({
    hub,
    hasOtherNodes: () => cluster?.members.others().some(({ id }) => !options.fleet?.endsToo(id)) ?? false,
    clock,
    onFault,
  })
  const queues = openSendQueues({
    portOf: options.portOf,
    onUnreadable: code => logger.warn({ code }, 'streams.send_queues_unreadable'),
  })
  const { read } = options.wrapQueues?.(queues) ?? queues
  const sharedQueues = { read: takingTurns(read) }
  const timeoutSeconds = settings.websocketConnectionTimeout
  const streams = watchStreams({
    hub,
    receipts,
    queues: sharedQueues,
    clock,
    heartbeatSeconds,
    timeoutSeconds,
    onFault,
  })
  const liveness = keepAlive({
    hub,
    buffers,
    streams,
    end: sessions.ended,
    clock,
    onFault,
    heartbeatSeconds,
    leewaySeconds: settings.jwtLeewaySeconds,
    timeoutSeconds,
    cleanupSeconds: settings.websocketCleanupInterval,
  })
  const sockets = createSockets({
    max: settings.maxSockets,
    trusted: settings.trustedProxies,
    ...tellOfSockets(logger, clock, stats),
  })
  const admit = createAdmission({
    origins: createOrigins(settings.corsOrigins),
    identities,
    access,
    maxChannels: settings.websocketMaxSubscriptionsPerConnection,
    limitsOf: limits.of,
    isDraining: () => ending.draining,
    admits: sockets.admits,
    interest: cluster?.interest,
    countElsewhere:
      cluster &&
      (({ tenant, user }) => {
        const most = limits.of(tenant)
        return reach.countElsewhere(
          tenant,
          user,
          { tenant: most.tenant > 0, user: most.user > 0 },
          elsewhere =>
            reach.openConnections(tenant, userTopic(tenant, user)).tenant + elsewhere >= most.tenant,
        )
      }),
    makeRoom: createMakeRoom({
      hub,
      reach,
      limitsOf: limits.of,
      freeStream: createFreeStream({ hub, queues: sharedQueues, clock }),
      room,
      onFault,
    }),
    retryAfterSeconds: Math.max(1, settings.drainSeconds),
    limit: limits.connects,
    stats,
    spans: options.spans,
    onRefused,
  })

  return {
    ending,
    sockets,
    routes: [
      webSocketRoutes({ admit, sessions, buffers, together, clock, sendBufferBytes }),
      sseRoutes({
        admit,
        sessions,
        buffers,
        onFault,
        clock,
        sendBufferBytes,
        keepAliveSeconds: settings.keepAliveSeconds,
      }),
    ],
    websocket: webSocketHandler({ sessions, sendBufferBytes }),
    [Symbol.dispose]: () => {
      liveness[Symbol.dispose]()
      queues[Symbol.dispose]()
      sockets[Symbol.dispose]()
    },
  }
}
