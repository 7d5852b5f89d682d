/** Names of the event types in `Events`. */
type TypeOf<Events extends object> = Extract<keyof Events, string>

/** Field names are those of the API. */
export interface MessageOptions {
  readonly priority?: 'Low' | 'Normal' | 'High' | 'Critical'
  /** Seconds until it expires; 0 reaches only clients that are connected. */
  readonly ttl?: number
  readonly correlation_id?: string
  /** Made for each call by default. */
  readonly idempotency_key?: string
}

/** An event with its payload. */
export type DirectMessage<Events extends object> = {
  readonly [Type in TypeOf<Events>]: MessageOptions & {
    readonly event_type: Type
    readonly payload: Events[Type]
  }
}[TypeOf<Events>]

/** A template with its variables. */
export interface TemplateMessage extends MessageOptions {
  readonly template_id: string
  readonly variables?: object
  readonly strict?: boolean
}

export type Message<Events extends object> = DirectMessage<Events> | TemplateMessage

/** Users that a broadcast reaches. */
export type Audience =
  | { readonly type: 'All' }
  | { readonly type: 'Roles' | 'Users' | 'Channels'; readonly value: readonly string[] }

export type Target =
  | { readonly type: 'user' | 'channel'; readonly value: string }
  | { readonly type: 'users' | 'channels'; readonly value: readonly string[] }
  | { readonly type: 'broadcast' }

export type BatchItem<Events extends object> = Message<Events> & {
  readonly target: Target
  readonly audience?: Audience
}

export interface BatchOptions {
  readonly stop_on_error?: boolean
  readonly deduplicate?: boolean
  readonly idempotency_key?: string
}

export type SendStatus = 'delivered' | 'partial' | 'queued' | 'no_recipient' | 'expired'

export interface SendResult {
  readonly success: boolean
  readonly notification_id: string
  /** Connections to which it was handed before the answer. */
  readonly delivered_to: number
  /** Connections that refused it. */
  readonly failed: number
  /** Users for whom it is kept. */
  readonly queued: number
  readonly status: SendStatus
  readonly timestamp: string
}

export interface BatchItemResult {
  readonly index: number
  readonly notification_id: string
  readonly delivered_to: number
  readonly failed: number
  readonly queued: number
  readonly success: boolean
  readonly status?: SendStatus
  readonly error?: string
  readonly code?: string
  readonly skipped?: true
  readonly replayed?: true
}

export interface BatchResult {
  readonly batch_id: string
  readonly results: readonly BatchItemResult[]
  readonly summary: {
    readonly total: number
    readonly succeeded: number
    readonly failed: number
    readonly skipped: number
    readonly total_delivered: number
    readonly total_queued: number
  }
  readonly timestamp: string
}

export interface TokenOptions {
  readonly user: string
  /** Lifetime in seconds; an hour by default. */
  readonly ttl?: number
  /** The tenant of the client by default. */
  readonly tenant?: string
  readonly roles?: readonly string[]
  /** Channels that the user may subscribe to: names, or prefixes that end in `*`. */
  readonly channels?: readonly string[]
}

export interface ServerOptions {
  /** Address of the service: `http://notification:8081`. */
  readonly url: string
  readonly apiKey?: string
  readonly tenant?: string
  /** The service's `JWT_SECRET`, for `token`. */
  readonly secret?: string
  /** How often a failed call is tried again; 4 by default. */
  readonly retries?: number
  /** Milliseconds for one attempt; 10,000 by default. */
  readonly timeout?: number
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>
  /** Returns a number from 0 to 1, without 1. */
  readonly random?: () => number
  /** Waits before another attempt. */
  readonly sleep?: (ms: number) => Promise<void>
}

/** Sends as a backend. Each call rejects with an `AraError`. */
export interface ServerClient<Events extends object = Record<string, unknown>> {
  user(id: string, message: Message<Events>): Promise<SendResult>
  users(ids: readonly string[], message: Message<Events>): Promise<SendResult>
  channel(name: string, message: Message<Events>): Promise<SendResult>
  channels(names: readonly string[], message: Message<Events>): Promise<SendResult>
  broadcast(message: Message<Events> & { readonly audience?: Audience }): Promise<SendResult>
  /** Up to 100 sends in one request. An item that failed is in the result. */
  batch(items: readonly BatchItem<Events>[], options?: BatchOptions): Promise<BatchResult>
  /** Closes all connections of a user; with `issued_before`, tokens from before then are refused. */
  disconnect(
    user: string,
    options?: { readonly reason?: string; readonly issued_before?: number | string },
  ): Promise<{ readonly user_id: string; readonly disconnected: number }>
  /** Signs a token (HS256) with the secret. */
  token(options: TokenOptions): Promise<string>
}
