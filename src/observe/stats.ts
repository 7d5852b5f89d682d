/** Why a message from Redis is not dispatched. */
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

/** Why a connection is not opened: a limit, or what was wrong with the request. */
type RefusedConnection = 'total' | 'user' | 'tenant' | 'rate' | 'origin' | 'token' | 'draining'

/** Counters of this node, plain numbers. */
export interface Stats {
  /** Faults that nobody foresaw, caught at the top. */
  unhandledErrors: number
  /** Pub/Sub messages that came in, rejected ones included. */
  redisMessagesReceived: number
  /** Of these, those that were rejected. */
  readonly redisMessagesRejected: Record<Rejection, number>
  /** Requests, and tries to open a connection (`ws`), for which there was a token. */
  readonly rateAllowed: Record<'http' | 'ws', number>
  /** Those for which there was none. */
  readonly rateDenied: Record<'http' | 'ws', number>
  /** Messages of clients that came too fast. */
  messagesLimited: number
  readonly connectionsRefused: Record<RefusedConnection, number>
  /** Entries kept for a user who was away. */
  queueEnqueued: number
  /** Entries written by a replay. */
  queueReplayed: number
  /** Entries that ttl or age took before they were received or acknowledged. */
  queueExpired: number
  /** Entries that overflow took before that. */
  queueDropped: number
  /** Entries sent again for want of an acknowledgement, once for each user. */
  ackRedelivered: number
}

export const createStats = (): Stats => ({
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
  rateAllowed: { http: 0, ws: 0 },
  rateDenied: { http: 0, ws: 0 },
  messagesLimited: 0,
  connectionsRefused: { total: 0, user: 0, tenant: 0, rate: 0, origin: 0, token: 0, draining: 0 },
  queueEnqueued: 0,
  queueReplayed: 0,
  queueExpired: 0,
  queueDropped: 0,
  ackRedelivered: 0,
})
