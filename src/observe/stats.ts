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

/** Counters of this node, plain numbers. */
export interface Stats {
  /** Faults that nobody foresaw, caught at the top. */
  unhandledErrors: number
  /** Pub/Sub messages that came in, rejected ones included. */
  redisMessagesReceived: number
  /** Of these, those that were rejected. */
  readonly redisMessagesRejected: Record<Rejection, number>
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
})
