import type { LinkState } from '../lib/redis/reconnecting-link.ts'
import { ANSWER_BOUNDS } from './answers.ts'
import type { Histogram } from './histogram.ts'
import type { ProcessFigures } from './process.ts'
import { BOUNDS, type Stats } from './stats.ts'
import type { TenantTally } from './tally.ts'

/** Sources of one scrape: counters and current values. */
export interface MetricSources {
  readonly stats: Stats
  /** Totals over all tenants. */
  readonly total: Readonly<TenantTally>
  readonly connections: Readonly<Record<'ws' | 'sse', number>>
  readonly users: number
  readonly channels: number
  readonly largestChannels: readonly { readonly name: string; readonly subscribers: number }[]
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: LinkState | undefined
  readonly queue: {
    readonly messages: number
    readonly users: number
    readonly bytes: number
    /** Limit; 0 = none. */
    readonly maxBytes: number
  }
  readonly storeUp: boolean
  readonly busUp: boolean
  /** Known nodes, this one included. */
  readonly nodes: number
  readonly draining: boolean
  readonly lagSeconds: number
  readonly linesDropped: number
  readonly process: ProcessFigures
  readonly version: string
  readonly node: string
  /** Number of this worker; undefined with a single process. */
  readonly worker: string | undefined
}

export type Labels = Readonly<Record<string, string>>

/** Number with its labels. */
interface Sample {
  readonly labels: Labels
  readonly value: number
}

/** Histogram with its labels. */
export interface Spread {
  readonly labels: Labels
  readonly histogram: Histogram
}

interface MetricBase {
  readonly help: string
  readonly labels: readonly string[]
}

interface Numbers extends MetricBase {
  readonly type: 'counter' | 'gauge'
  read(seen: MetricSources): readonly Sample[]
}

interface Spreads extends MetricBase {
  readonly type: 'histogram'
  readonly bounds: readonly number[]
  read(seen: MetricSources): readonly Spread[]
}

export type Metric = Numbers | Spreads

type By<T> = (seen: MetricSources) => Readonly<Record<string, T>>

const each = <T, S>(
  values: Readonly<Record<string, T>>,
  sample: (name: string, value: T) => S,
): readonly S[] => Object.entries(values).map(([name, value]) => sample(name, value))

const number =
  (type: Numbers['type']) =>
  (help: string, read: (seen: MetricSources) => number): Numbers => ({
    type,
    help,
    labels: [],
    read: seen => [{ labels: {}, value: read(seen) }],
  })

const numbers =
  (type: Numbers['type']) =>
  (help: string, label: string, read: By<number>): Numbers => ({
    type,
    help,
    labels: [label],
    read: seen => each(read(seen), (name, value) => ({ labels: { [label]: name }, value })),
  })

const counter = number('counter')
const gauge = number('gauge')
const counters = numbers('counter')
const gauges = numbers('gauge')

const histogram = (
  help: string,
  bounds: readonly number[],
  read: (seen: MetricSources) => Histogram,
): Spreads => ({
  type: 'histogram',
  help,
  labels: [],
  bounds,
  read: seen => [{ labels: {}, histogram: read(seen) }],
})

const histograms = (
  help: string,
  label: string,
  bounds: readonly number[],
  read: By<Histogram>,
): Spreads => ({
  type: 'histogram',
  help,
  labels: [label],
  bounds,
  read: seen => each(read(seen), (name, value) => ({ labels: { [label]: name }, histogram: value })),
})

const sum = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((total, value) => total + value, 0)

const BREAKER = { closed: 0, open: 1, half_open: 2 }

/** Counts answers by method, path and status; their sum by method and path equals the histogram's count. */
const ANSWERS: Numbers = {
  type: 'counter',
  help: 'HTTP answers; `path` is the route pattern or `unmatched`, `method` a standard method or `OTHER`',
  labels: ['method', 'path', 'status'],
  read: ({ stats }) =>
    [...stats.answers.all()].flatMap(({ method, path, statuses }) =>
      [...statuses].map(([status, value]) => ({ labels: { method, path, status: String(status) }, value })),
    ),
}

const ANSWER_SECONDS: Spreads = {
  type: 'histogram',
  help: 'seconds from a request to its answer; for `/sse` to its headers',
  labels: ['method', 'path'],
  bounds: ANSWER_BOUNDS,
  read: ({ stats }) =>
    [...stats.answers.all()].map(({ method, path, seconds }) => ({
      labels: { method, path },
      histogram: seconds,
    })),
}

const LARGEST_CHANNELS: Numbers = {
  type: 'gauge',
  help: 'subscribers of the METRICS_CHANNEL_LIMIT largest channels; named `tenant:channel` in tenants other than `default`',
  labels: ['channel'],
  read: ({ largestChannels }) =>
    largestChannels.map(({ name, subscribers }) => ({ labels: { channel: name }, value: subscribers })),
}

const BUILD: Numbers = {
  type: 'gauge',
  help: '1; labels hold the version and the node id',
  labels: ['version', 'node'],
  read: ({ version, node }) => [{ labels: { version, node }, value: 1 }],
}

/** All metrics by name, as `/metrics` shows and `docs/METRICS.md` lists them. */
// biome-ignore format: one row per metric
export const METRICS: Readonly<Record<string, Metric>> = {
  ara_connections_total: gauge('open WebSockets and SSE streams', ({ connections }) => sum(connections)),
  ara_connections_open: gauges('open connections by transport', 'transport', ({ connections }) => connections),
  ara_users_connected: gauge('users with a connection', ({ users }) => users),
  ara_connections_per_user: histogram('connections of the user at each new connection', BOUNDS.connectionsPerUser, ({ stats }) => stats.connectionsPerUser),
  ara_ws_connections_opened_total: counter('WebSockets and SSE streams that were opened', ({ total }) => total.opened),
  ara_ws_connections_closed_total: counter('WebSockets and SSE streams that have ended', ({ stats }) => stats.connectionSeconds.count),
  ara_ws_connection_duration_seconds: histogram('how long WebSockets and SSE streams were open, recorded when they end', BOUNDS.connection, ({ stats }) => stats.connectionSeconds),
  ara_connection_closes_total: counters('ended connections by close code; `sse`: a stream, `other`: a code sent by the client; 1013: over a limit, never opened', 'code', ({ stats }) => stats.closes),
  ara_connections_refused_total: counters('refused attempts to connect', 'reason', ({ stats }) => stats.connectionsRefused),
  ara_slow_consumers_total: counter('connections closed because the client did not read', ({ stats }) => stats.slowConsumers),
  ara_channels_active: gauge('channels with a subscriber', ({ channels }) => channels),
  ara_channel_subscriptions: LARGEST_CHANNELS,
  ara_messages_sent_total: counters('accepted sends by kind of target', 'target', ({ total }) => total.sent),
  ara_messages_delivered_total: counter('notification frames handed to a connection, replays and redeliveries included', ({ total }) => total.delivered),
  ara_messages_failed_total: counter('notification frames that a connection refused', ({ total }) => total.failed),
  ara_message_delivery_latency_seconds: histogram('seconds from accepting a send to handing it to a connection; live deliveries only', BOUNDS.fast, ({ stats }) => stats.deliverySeconds),
  ara_receipt_latency_seconds: histogram('seconds from handing log entries to a WebSocket to the pong that proves they were read', BOUNDS.fast, ({ stats }) => stats.receiptSeconds),
  ara_ws_messages_received_total: counters('valid client messages', 'type', ({ stats }) => stats.messagesReceived),
  ara_ws_messages_limited_total: counter('client messages denied by the rate limit', ({ stats }) => stats.messagesLimited),
  ara_queue_size_total: gauge('unexpired entries in the logs of users', ({ queue }) => queue.messages),
  ara_queue_users_total: gauge('users with an unexpired entry', ({ queue }) => queue.users),
  ara_queue_enqueued_total: counter('notifications kept for an absent user', ({ stats }) => stats.queueEnqueued),
  ara_queue_replayed_total: counter('entries written by a replay', ({ stats }) => stats.queueReplayed),
  ara_queue_expired_total: counter('entries whose ttl or age ended before they were received or acknowledged', ({ stats }) => stats.queueExpired),
  ara_queue_dropped_total: counter('entries that overflow evicted before they were received or acknowledged', ({ stats }) => stats.queueDropped),
  ara_resume_total: counters('connects with the log on: `none` without a cursor, `recovered` with a valid one, `epoch_changed` with one of another epoch, `trimmed` when entries are missing', 'outcome', ({ stats }) => stats.resumes),
  ara_ack_tracked_total: counter('pairs of notification and user that need an acknowledgement, counted at the first delivery', ({ total }) => total.acks.tracked),
  ara_ack_received_total: counter('acknowledged pairs of notification and user', ({ total }) => total.acks.acked),
  ara_ack_expired_total: counter('pairs of notification and user that ended without an acknowledgement', ({ total }) => total.acks.expired),
  ara_ack_pending: gauge('pairs of notification and user that wait for an acknowledgement', ({ total: { acks } }) => acks.tracked - acks.acked - acks.expired),
  ara_ack_latency_seconds: histogram('seconds from the first delivery to the acknowledgement', BOUNDS.ack, ({ stats }) => stats.ackSeconds),
  ara_ack_redelivered_total: counter('notifications sent again because they were not acknowledged, once per user', ({ stats }) => stats.ackRedelivered),
  ara_http_requests_total: ANSWERS,
  ara_http_request_latency_seconds: ANSWER_SECONDS,
  ara_batch_requests_total: counter('executed batches', ({ stats }) => stats.batchItems.count),
  ara_batch_size: histogram('items of each executed batch', BOUNDS.batch, ({ stats }) => stats.batchItems),
  ara_idempotency_total: counters('requests, items and messages with an idempotency key', 'result', ({ stats: { idempotency: { inProgress, ...rest } } }) => ({ ...rest, in_progress: inProgress })),
  ara_ratelimit_allowed_total: counters('requests and attempts to connect (`ws`, SSE included) within the rate limit', 'type', ({ stats }) => stats.rateAllowed),
  ara_ratelimit_denied_total: counters('requests and attempts to connect (`ws`, SSE included) denied by the rate limit', 'type', ({ stats }) => stats.rateDenied),
  ara_auth_failures_total: counters('refused keys, tokens and origins; `metrics`: METRICS_KEY', 'kind', ({ stats }) => stats.authFailures),
  ara_redis_connection_status: gauge('1 while the trigger is connected to Redis, else 0', ({ redis }) => Number(redis?.connected ?? false)),
  ara_redis_circuit_breaker_state: gauge('circuit breaker of the trigger: 0 closed, 1 open, 2 half-open', ({ redis }) => BREAKER[redis?.breaker ?? 'closed']),
  ara_redis_reconnections_total: counter('reconnections of the trigger to Redis', ({ redis }) => redis?.reconnections ?? 0),
  ara_redis_messages_received_total: counter('messages received on REDIS_CHANNELS', ({ stats }) => stats.redisMessagesReceived),
  ara_redis_messages_rejected_total: counters('messages received on REDIS_CHANNELS, and entries of REDIS_STREAM, that were rejected', 'reason', ({ stats }) => stats.redisMessagesRejected),
  ara_redis_stream_messages_total: counters('entries of REDIS_STREAM: `accepted` when dispatched, `retried` for each further attempt, `dead` when moved to the dead letters', 'result', ({ stats }) => stats.streamEntries),
  ara_redis_stream_pending: gauge('entries of REDIS_STREAM that were read and not yet acknowledged, by all nodes of the group', ({ stats }) => stats.streamPending),
  ara_store_up: gauge('1 while the store accepts appends, else 0', ({ storeUp }) => Number(storeUp)),
  ara_store_bytes: gauge('bytes that logs hold, as STORE_MAX_BYTES counts them', ({ queue }) => queue.bytes),
  ara_store_max_bytes: gauge('STORE_MAX_BYTES; 0 = no limit', ({ queue }) => queue.maxBytes),
  ara_store_operation_seconds: histograms('seconds that store operations took, failures included', 'op', BOUNDS.fast, ({ stats }) => stats.storeSeconds),
  ara_store_errors_total: counters('failed store operations', 'op', ({ stats }) => stats.storeErrors),
  ara_bus_up: gauge('1 while this node reaches the others, else 0', ({ busUp }) => Number(busUp)),
  ara_bus_messages_total: counters('messages that this node published on the bus and received from it, own ones included', 'direction', ({ stats }) => stats.busMessages),
  ara_bus_answer_timeouts_total: counter('answers of other nodes that did not arrive within 500 ms', ({ stats }) => stats.busAnswerTimeouts),
  ara_cluster_nodes: gauge('known nodes, this one included', ({ nodes }) => nodes),
  ara_event_loop_lag_seconds: gauge('the longest delay of the event loop in the last 15 to 30 seconds', ({ lagSeconds }) => lagSeconds),
  ara_unhandled_errors_total: counter('errors that no code handles: defects', ({ stats }) => stats.unhandledErrors),
  ara_log_lines_dropped_total: counter('log lines that stdout did not take', ({ linesDropped }) => linesDropped),
  ara_draining: gauge('1 while the node drains, else 0', ({ draining }) => Number(draining)),
  ara_worker_up: gauges('1 if the worker of this number serves and answered in time, else 0', 'worker', ({ worker }) => (worker === undefined ? { '1': 1 } : {})),
  ara_worker_restarts_total: counter('workers that were started again after they ended', () => 0),
  ara_build_info: BUILD,
  process_cpu_user_seconds_total: counter('CPU seconds in user mode', ({ process }) => process.cpu.userSeconds),
  process_cpu_system_seconds_total: counter('CPU seconds in system mode', ({ process }) => process.cpu.systemSeconds),
  process_cpu_seconds_total: counter('CPU seconds in user and system mode', ({ process }) => process.cpu.userSeconds + process.cpu.systemSeconds),
  process_resident_memory_bytes: gauge('resident memory', ({ process }) => process.residentBytes),
  process_virtual_memory_bytes: gauge('virtual memory', ({ process }) => process.virtualBytes),
  process_heap_bytes: gauge('data segment', ({ process }) => process.heapBytes),
  process_open_fds: gauge('open file descriptors', ({ process }) => process.openDescriptors),
  process_max_fds: gauge('limit of open file descriptors', ({ process }) => process.maxDescriptors),
  process_start_time_seconds: gauge('start of the process, seconds since 1970', ({ process }) => process.startedAt),
}
