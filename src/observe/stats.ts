import { type Answers, createAnswers } from './answers.ts'
import { Histogram } from './histogram.ts'
import { createTally, type Tally } from './tally.ts'

/** Reasons to reject a message from Redis. */
export type Rejection =
  | 'invalid_json'
  | 'invalid_shape'
  | 'unknown_type'
  | 'invalid_target'
  | 'unknown_template'
  | 'variables'
  | 'too_large'
  | 'tenant'
  | 'store'

/** Reasons to reject a connection: a limit or a bad request. */
type RefusedConnection = 'total' | 'user' | 'tenant' | 'rate' | 'origin' | 'token' | 'draining'

/** Close codes of the service; all other codes come from clients. */
const CLOSE_CODES = [1000, 1001, 1002, 1006, 1007, 1008, 1009, 1012, 1013, 4401, 4403, 4408] as const

/** Name for streams, which have no close code. */
type Close = (typeof CLOSE_CODES)[number] | 'sse' | 'other'

/** Kinds of failed authentication. */
export type AuthFailure = 'api_key' | 'jwt' | 'revoked' | 'origin' | 'metrics'

/** Start of a connection to a log: no cursor, or a cursor that was valid, invalid or too old. */
export type Resume = 'none' | 'recovered' | 'epoch_changed' | 'trimmed'

/** Store operations that a caller waits for. */
export type StoreOperation = 'append' | 'read' | 'ack' | 'template' | 'idempotency'

/** Bounds of the histograms; times in seconds. */
export const BOUNDS = {
  fast: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  ack: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  connection: [1, 5, 10, 30, 60, 300, 600, 1800, 3600],
  connectionsPerUser: [1, 2, 3, 4, 5, 10],
  batch: [1, 5, 10, 25, 50, 75, 100],
} as const

/** Counters of this node as plain numbers. */
export interface Stats {
  /** Counters by tenant. */
  readonly tally: Tally
  /** Unexpected faults, caught at the top. */
  unhandledErrors: number
  /** Pub/Sub messages received, rejected ones included. */
  redisMessagesReceived: number
  /** Rejected Pub/Sub messages and stream entries by reason. */
  readonly redisMessagesRejected: Record<Rejection, number>
  /** Entries of the stream: dispatched, tried again, moved to the dead letters. */
  readonly streamEntries: Record<'accepted' | 'retried' | 'dead', number>
  /** Entries that the consumers of the group have read and not acknowledged, when last asked. */
  streamPending: number
  /** Requests and connection attempts (`ws`) allowed by the rate limit. */
  readonly rateAllowed: Record<'http' | 'ws', number>
  /** Requests and connection attempts denied by the rate limit. */
  readonly rateDenied: Record<'http' | 'ws', number>
  /** Client messages over the rate limit. */
  messagesLimited: number
  readonly connectionsRefused: Record<RefusedConnection, number>
  /** Ended connections, including sockets rejected by a limit (1013). */
  readonly closes: Record<Close, number>
  /** Connections cut because the client did not read. */
  slowConsumers: number
  /** Well-formed client messages. */
  readonly messagesReceived: Record<'subscribe' | 'unsubscribe' | 'ping' | 'ack' | 'auth', number>
  /** Entries stored for a user without a live connection. */
  queueEnqueued: number
  /** Entries written by a replay. */
  queueReplayed: number
  /** Entries that expired by ttl or age before they were received or acknowledged. */
  queueExpired: number
  /** Entries that overflow evicted before they were received or acknowledged. */
  queueDropped: number
  /** Entries redelivered without acknowledgement, once per user. */
  ackRedelivered: number
  /** Answers of other nodes that did not arrive in time. */
  busAnswerTimeouts: number
  readonly answers: Answers
  readonly authFailures: Record<AuthFailure, number>
  /** Connections to a log, by the kind of start. */
  readonly resumes: Record<Resume, number>
  /** Requests, batch items and messages with an idempotency key, by outcome. */
  readonly idempotency: Record<'new' | 'replayed' | 'conflict' | 'inProgress', number>
  /** Messages published on the bus and received from it, own ones included. */
  readonly busMessages: Record<'in' | 'out', number>
  readonly storeErrors: Record<StoreOperation, number>
  readonly storeSeconds: Readonly<Record<StoreOperation, Histogram>>
  /** Connections per user, observed at each registration. */
  readonly connectionsPerUser: Histogram
  /** Lifetime from registration to end; the count covers ended connections. */
  readonly connectionSeconds: Histogram
  /** Time from acceptance until a socket took the frame; replays and redeliveries do not count. */
  readonly deliverySeconds: Histogram
  /** Time from the first delivery to the acknowledgement. */
  readonly ackSeconds: Histogram
  /** Time from the first frame that a ping covers to its pong. */
  readonly receiptSeconds: Histogram
  /** Items per batch. */
  readonly batchItems: Histogram
}

/** Code of a close frame without a code: a normal end. */
const NO_CODE = 1005

/** Maps a close code to its counter. */
export function closeOf(code: number | 'sse'): Close {
  if (code === 'sse') return code
  return CLOSE_CODES.find(known => known === (code === NO_CODE ? 1000 : code)) ?? 'other'
}

export const createStats = (): Stats => ({
  tally: createTally(),
  unhandledErrors: 0,
  redisMessagesReceived: 0,
  redisMessagesRejected: {
    invalid_json: 0,
    invalid_shape: 0,
    unknown_type: 0,
    invalid_target: 0,
    unknown_template: 0,
    variables: 0,
    too_large: 0,
    tenant: 0,
    store: 0,
  },
  streamEntries: { accepted: 0, retried: 0, dead: 0 },
  streamPending: 0,
  rateAllowed: { http: 0, ws: 0 },
  rateDenied: { http: 0, ws: 0 },
  messagesLimited: 0,
  connectionsRefused: { total: 0, user: 0, tenant: 0, rate: 0, origin: 0, token: 0, draining: 0 },
  closes: {
    1000: 0,
    1001: 0,
    1002: 0,
    1006: 0,
    1007: 0,
    1008: 0,
    1009: 0,
    1012: 0,
    1013: 0,
    4401: 0,
    4403: 0,
    4408: 0,
    sse: 0,
    other: 0,
  },
  slowConsumers: 0,
  messagesReceived: { subscribe: 0, unsubscribe: 0, ping: 0, ack: 0, auth: 0 },
  queueEnqueued: 0,
  queueReplayed: 0,
  queueExpired: 0,
  queueDropped: 0,
  ackRedelivered: 0,
  busAnswerTimeouts: 0,
  answers: createAnswers(),
  authFailures: { api_key: 0, jwt: 0, revoked: 0, origin: 0, metrics: 0 },
  resumes: { none: 0, recovered: 0, epoch_changed: 0, trimmed: 0 },
  idempotency: { new: 0, replayed: 0, conflict: 0, inProgress: 0 },
  busMessages: { in: 0, out: 0 },
  storeErrors: { append: 0, read: 0, ack: 0, template: 0, idempotency: 0 },
  storeSeconds: {
    append: new Histogram(BOUNDS.fast),
    read: new Histogram(BOUNDS.fast),
    ack: new Histogram(BOUNDS.fast),
    template: new Histogram(BOUNDS.fast),
    idempotency: new Histogram(BOUNDS.fast),
  },
  connectionsPerUser: new Histogram(BOUNDS.connectionsPerUser),
  connectionSeconds: new Histogram(BOUNDS.connection),
  deliverySeconds: new Histogram(BOUNDS.fast),
  ackSeconds: new Histogram(BOUNDS.ack),
  receiptSeconds: new Histogram(BOUNDS.fast),
  batchItems: new Histogram(BOUNDS.batch),
})
