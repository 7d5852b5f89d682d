import type { ApiErrorCode } from './error.ts'

/** Names of the event types in `Events`. */
type TypeOf<Events extends object> = Extract<keyof Events, string>

/** Field names are those of the API. */
export interface MessageOptions {
  readonly priority?: 'Low' | 'Normal' | 'High' | 'Critical' | undefined
  /** Seconds until it expires; 0 reaches only clients that are connected. */
  readonly ttl?: number | undefined
  readonly correlation_id?: string | undefined
  /** Made for each call by default. */
  readonly idempotency_key?: string | undefined
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
  readonly variables?: object | undefined
  readonly strict?: boolean | undefined
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
  readonly audience?: Audience | undefined
}

/** Options of a single call. */
export interface CallOptions {
  /** Ends the call with code `ABORTED`. The service may have carried it out. */
  readonly signal?: AbortSignal | undefined
}

export interface BatchOptions extends CallOptions {
  /** The first item that fails or reaches no one ends the batch. */
  readonly stop_on_error?: boolean | undefined
  /** Sends equal items once. */
  readonly deduplicate?: boolean | undefined
  /** Made for each call by default. */
  readonly idempotency_key?: string | undefined
}

export interface DisconnectOptions extends CallOptions {
  /** Reason for the client, at most 120 bytes. */
  readonly reason?: string | undefined
  /** Also refuses tokens issued before this time: seconds since 1970, or RFC 3339. */
  readonly issued_before?: number | string | undefined
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

interface ItemCounts {
  readonly index: number
  readonly notification_id: string
  readonly delivered_to: number
  readonly failed: number
  readonly queued: number
}

/** An item that was sent, that failed, or that was skipped: `code` and `skipped` tell them apart. */
export type BatchItemResult = ItemCounts &
  (
    | {
        /** Whether it reached a connection or is kept for a user. */
        readonly success: boolean
        readonly status: SendStatus
        /** Its key was used before: nothing was sent again. */
        readonly replayed?: true
        readonly error?: undefined
        readonly code?: undefined
        readonly skipped?: undefined
      }
    | {
        readonly success: false
        readonly error: string
        readonly code: ApiErrorCode
        readonly status?: undefined
        readonly skipped?: undefined
      }
    | {
        /** True for a duplicate; false after an item that stopped the batch. */
        readonly success: boolean
        readonly skipped: true
        readonly error?: string
        readonly status?: undefined
        readonly code?: undefined
      }
  )

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

export interface DisconnectResult {
  readonly user_id: string
  /** Connections that were closed. */
  readonly disconnected: number
}

export interface TokenOptions {
  readonly user: string
  /** Lifetime in seconds; an hour by default. */
  readonly ttl?: number | undefined
  /** The tenant of the client by default. */
  readonly tenant?: string | undefined
  readonly roles?: readonly string[] | undefined
  /** Channels that the user may subscribe to: names, or prefixes that end in `*`. */
  readonly channels?: readonly string[] | undefined
}

export interface ServerOptions {
  /** Address of the service: `http://notification:8081`. */
  readonly url: string
  /** A key of `API_KEY` or `TENANT_API_KEYS`. */
  readonly apiKey?: string | undefined
  /** Tenant of all sends and tokens. */
  readonly tenant?: string | undefined
  /** The service's `JWT_SECRET`, for `token`. */
  readonly secret?: string | undefined
  /** The service's `JWT_ISSUER`, for `token`. */
  readonly issuer?: string | undefined
  /** The service's `JWT_AUDIENCE`, for `token`. */
  readonly audience?: string | undefined
  /** One of the service's `JWT_ALGORITHMS`; HS256 by default. */
  readonly algorithm?: 'HS256' | 'HS384' | 'HS512' | undefined
  /** How often a failed call is tried again; 4 by default. */
  readonly retries?: number | undefined
  /** Milliseconds for one attempt; 10,000 by default. */
  readonly timeout?: number | undefined
  /**
   * Milliseconds for a call with all its attempts; 60,000 by default. At most `IDEMPOTENCY_TTL_SECONDS` of the
   * service: its keys must outlive the attempts.
   */
  readonly deadline?: number | undefined
  /** How many calls run at a time, each on one connection; 50 by default. The others wait. */
  readonly concurrency?: number | undefined
  /** For tests, and for a proxy or certificates of your own. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined
  /** Returns a number from 0 to 1, without 1. */
  readonly random?: (() => number) | undefined
  /** Waits before another attempt, at most until the signal aborts. */
  readonly sleep?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined
}

/** Sends as a backend. Each call rejects with an `AraError`. */
export interface ServerClient<Events extends object = Record<string, unknown>> {
  user(id: string, message: Message<Events>, options?: CallOptions): Promise<SendResult>
  users(ids: readonly string[], message: Message<Events>, options?: CallOptions): Promise<SendResult>
  channel(name: string, message: Message<Events>, options?: CallOptions): Promise<SendResult>
  channels(names: readonly string[], message: Message<Events>, options?: CallOptions): Promise<SendResult>
  broadcast(
    message: Message<Events> & { readonly audience?: Audience | undefined },
    options?: CallOptions,
  ): Promise<SendResult>
  /** Up to 100 sends in one request. An item that failed is in the result; to send it again, give it a key of its own. */
  batch(items: readonly BatchItem<Events>[], options?: BatchOptions): Promise<BatchResult>
  /** Closes all connections of a user; with `issued_before`, tokens from before then are refused. */
  disconnect(user: string, options?: DisconnectOptions): Promise<DisconnectResult>
  /** Signs a token (HS256 by default) with the secret. */
  token(options: TokenOptions): Promise<string>
}
