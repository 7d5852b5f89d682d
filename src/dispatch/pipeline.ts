import type { Config } from '../config/config.ts'
import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import { createSendBuffers, type SendBuffers } from '../hub/send-buffers.ts'
import { createTogether, type Together } from '../hub/together.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import { type Topic, tenantOf, userTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Stats } from '../observe/stats.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Store, StoreObserver } from '../store/store.ts'
import { type Acknowledgement, createAcknowledgement } from './acknowledgement.ts'
import type { NodeIdentity } from './census.ts'
import type { Cluster } from './cluster/cluster.ts'
import { createClusterCensus } from './cluster/cluster-census.ts'
import { createClusterReach } from './cluster/cluster-reach.ts'
import { createElsewhere } from './cluster/elsewhere.ts'
import { createRoomElsewhere, type RoomElsewhere } from './cluster/room-elsewhere.ts'
import { throughBus } from './cluster/through-bus.ts'
import { type Composer, createComposer } from './compose.ts'
import { createCrowd, type Publish } from './crowd.ts'
import { createCrowdAcks } from './crowd-acks.ts'
import { createDelivery, type Delivery } from './delivery.ts'
import { directDelivery } from './direct.ts'
import { createDispatcher, type Dispatch } from './dispatcher.ts'
import { createLargeCalls, inTurn, type LargeCalls } from './large-calls.ts'
import { createLocalCensus } from './local-census.ts'
import { createLocalReach } from './local-reach.ts'
import { counted } from './observed/counted.ts'
import { startReplay } from './observed/spans.ts'
import type { StoreWatch } from './observed/store-watch.ts'
import { traced } from './observed/traced.ts'
import { createOnce, type Once } from './once.ts'
import { createPersist, type Persist } from './persist.ts'
import type { Reach } from './reach.ts'
import { createReceipts, type Receipts } from './receipts.ts'
import { createRedeliveries } from './redelivery.ts'
import { createReplayPace } from './replay-pace.ts'
import { createRevocationSweep } from './revocation-sweep.ts'
import { createSweep } from './sweep.ts'

/** All parts between a send and the connections, assembled by the settings. */
export interface Pipeline extends Disposable {
  readonly composer: Composer
  /** Dispatches one envelope; one with many recipients waits for its turn. */
  readonly dispatch: Dispatch
  /** Dispatches at once, for callers that use `largeCalls` themselves. */
  readonly dispatchNow: Dispatch
  readonly largeCalls: LargeCalls
  readonly once: Once
  readonly reach: Reach
  /** Undefined without a bus. */
  readonly room: RoomElsewhere | undefined
  /** Absent without a bus. */
  readonly cluster: Cluster | undefined
  readonly delivery: Pick<Delivery, 'start' | 'replay' | 'ended'>
  readonly receipts: Receipts
  readonly buffers: SendBuffers
  readonly together: Together
  readonly persist: Persist
  /** Absent when acknowledgement is off. */
  readonly acknowledgement: Acknowledgement | undefined
  /** Looks for what this node missed in an outage: unanswered appends that succeeded, and revoked tokens. */
  catchUp(): void
}

interface PipelineOptions {
  readonly settings: Pick<
    Config,
    | 'queueEnabled'
    | 'queueMessageTtlSeconds'
    | 'ackEnabled'
    | 'ackTimeoutSeconds'
    | 'ackCleanupIntervalSeconds'
    | 'ackMaxDeliveries'
    | 'sendBufferBytes'
    | 'sendBuffersTotalBytes'
    | 'coalesceMs'
  >
  readonly hub: Hub
  /** Absent without a bus. */
  readonly cluster: Cluster | undefined
  readonly node: NodeIdentity
  readonly store: Store
  readonly observer: StoreObserver
  readonly publish: Publish
  readonly storeWatch: Pick<StoreWatch, 'failed' | 'retry'>
  readonly onFault: OnFault
  readonly clock: Clock
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

export function createPipeline({
  settings,
  hub,
  cluster,
  node,
  store,
  observer,
  publish,
  storeWatch,
  onFault,
  clock,
  stats,
  tracing,
}: PipelineOptions): Pipeline {
  const { log, acks } = store
  const { tally } = stats
  const { queueEnabled, ackEnabled, sendBufferBytes, coalesceMs } = settings
  const timeoutMs = settings.ackTimeoutSeconds * 1000
  using stack = new DisposableStack()

  const persist = createPersist(storeWatch.retry)
  const receipts = createReceipts({ hub, log })
  const buffers = createSendBuffers({ hub, maxBytes: settings.sendBuffersTotalBytes, onFault })
  const together = createTogether(onFault)
  const crowdAcks = ackEnabled
    ? stack.use(
        createCrowdAcks({
          clock,
          observer,
          onGivenUp: (owner, users) => {
            tally.of(tenantOf(owner)).acks.expired += users
          },
          timeoutMs,
          cleanupMs: settings.ackCleanupIntervalSeconds * 1000,
          sharedUsers: cluster?.sharedUsers,
        }),
      )
    : undefined

  const handed = (owner: Topic, epoch: Epoch, seqs: readonly number[], isLive: boolean): void => {
    log.handed(owner, epoch, seqs, isLive)
    redeliveries?.handed(owner, epoch, seqs)
  }

  /** Keeps the order on each socket: the runtime's publish does not wait for kept frames. */
  const publishAfter: Publish = (name, text) => {
    together.flush()
    return publish(name, text)
  }

  const local = createLocalReach({
    hub,
    crowd: createCrowd({ hub, publish: publishAfter, sendBufferBytes, coalesceMs, buffers, onFault }),
    census: createLocalCensus({ hub, tally, node }),
    // Delivery needs redeliveries, and these need the reach.
    offer: (connection, cursor, frame) => delivery.offer(connection, cursor, frame),
    onHanded: (owner, { epoch, seq }) => handed(owner, epoch, [seq], true),
    crowdAcks,
    onWritten: (topic, delivered, failed) => {
      const record = tally.of(tenantOf(topic))
      record.delivered += delivered
      record.failed += failed
    },
    onLive: (connections, ms) => stats.deliverySeconds.observe(ms / 1000, connections),
    clock,
  })
  const behind = (owner: Topic, head: Cursor): void => {
    for (const connection of hub.members(owner)) delivery.behind(connection, head)
  }
  const overBus = ({ calls, instance }: Cluster): Reach => {
    const census = createClusterCensus({
      local: local.census,
      calls,
      instance,
      node: node.id,
    })
    const countElsewhere = createElsewhere({ local: local.census, calls, clock })
    return createClusterReach({ local, census, countElsewhere, calls, instance, behind, clock, tracing })
  }
  const reach = cluster === undefined ? local : overBus(cluster)
  const redeliveries = ackEnabled
    ? stack.use(
        createRedeliveries({
          reach,
          log,
          acks,
          clock,
          timeoutMs,
          maxDeliveries: settings.ackMaxDeliveries,
          sharedTimeoutMs: cluster && timeoutMs,
          retentionMs: settings.queueMessageTtlSeconds * 1000,
          onRedelivered: () => {
            stats.ackRedelivered++
          },
          onFault: storeWatch.failed,
          tracing,
        }),
      )
    : undefined
  const delivery = createDelivery({
    log,
    receipts,
    acknowledged: redeliveries,
    onReplayed: ({ principal: { tenant, user } }: Connection, epoch, seqs) => {
      stats.queueReplayed += seqs.length
      tally.delivered(tenant, seqs.length)
      handed(userTopic(tenant, user), epoch, seqs, false)
    },
    startSpan: tracing && (() => startReplay(tracing)),
    pace: createReplayPace(),
    persist,
    onFault,
  })
  const { retry } = storeWatch
  const sweep = queueEnabled || ackEnabled ? stack.use(createSweep({ hub, log, delivery, retry })) : undefined
  const revocationSweep =
    cluster && stack.use(createRevocationSweep({ hub, revocations: store.revocations, retry }))
  const dispatcher = createDispatcher({
    reach,
    log: queueEnabled || ackEnabled ? log : undefined,
    keepsForAll: queueEnabled,
    clock,
  })
  const sent = counted(cluster === undefined ? dispatcher : throughBus(dispatcher, cluster), stats)
  const dispatchNow = tracing === undefined ? sent : traced(sent, tracing)
  const largeCalls = createLargeCalls(clock)
  const owned = stack.move()

  return {
    persist,
    reach,
    room: cluster && createRoomElsewhere(cluster.calls),
    cluster,
    dispatch: inTurn(dispatchNow, largeCalls),
    dispatchNow,
    largeCalls,
    once: createOnce({
      idempotency: store.idempotency,
      log: queueEnabled || ackEnabled ? log : undefined,
      stats,
    }),
    composer: createComposer({ templates: store.templates }),
    delivery: queueEnabled || ackEnabled ? delivery : directDelivery,
    receipts,
    buffers,
    together,
    acknowledgement: redeliveries && createAcknowledgement({ acks, log, reach, redeliveries }),
    catchUp: () => {
      sweep?.start()
      revocationSweep?.start()
      cluster?.sharedUsers?.again()
    },
    [Symbol.dispose]: () => owned.dispose(),
  }
}
