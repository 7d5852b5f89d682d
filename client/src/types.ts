/// <reference lib="esnext.disposable" preserve="true" />

/** Names of the event types in `Events`. */
export type TypeOf<Events extends object> = Extract<keyof Events, string>

/** One notification, with the names that it has on the wire. */
export interface Notification<
  Events extends object = Record<string, unknown>,
  Type extends TypeOf<Events> = TypeOf<Events>,
> {
  readonly type: 'notification'
  readonly id: string
  /** When the service accepted it, RFC 3339. */
  readonly occurred_at: string
  readonly event_type: Type
  readonly payload: Events[Type]
  readonly metadata: Metadata
  /** Its place in the user's log. A notification to a channel or to everyone has none. */
  readonly cursor?: string
  /** How often it was sent again for lack of an acknowledgement. */
  readonly redelivered?: number
  /** Tells its type, and narrows that of `payload`. */
  is<Wanted extends TypeOf<Events>>(type: Wanted): this is Notification<Events, Wanted>
}

export interface Metadata {
  readonly source: string
  readonly priority: 'Low' | 'Normal' | 'High' | 'Critical'
  /** Seconds. */
  readonly ttl?: number
  readonly audience?: object
  readonly correlation_id?: string
}

/** A fault that a page can show: `code` for programs, `message` for people. */
export interface Fault {
  readonly code: string
  readonly message: string
}

/** A snapshot: each change makes a new one. */
export interface ConnectionState {
  readonly state: 'idle' | 'connecting' | 'online' | 'waiting' | 'closed'
  readonly transport?: 'websocket' | 'sse'
  /** When the next attempt is due, in milliseconds since 1970. */
  readonly retryAt?: number
  /** The last fault; absent once the client is online again. */
  readonly error?: Fault
}

/** Notifications may be missing: fetch the state from your backend. What the log still holds follows. */
export interface Gap {
  /** `trimmed`: overflow or age removed entries. `epoch_changed`: the log was replaced. */
  readonly reason: 'epoch_changed' | 'trimmed'
}

/** Keeps the place of one user in the log between two runs. */
export interface CursorStore {
  load(): string | null | undefined | Promise<string | null | undefined>
  save(cursor: string): unknown
}

/** Time, for tests. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
}

/** The part of the standard WebSocket that the client uses. */
export interface Socket {
  readonly readyState: number
  onopen: (() => void) | null
  onmessage: ((event: { readonly data: string }) => void) | null
  onclose: ((event: { readonly code: number }) => void) | null
  onerror?: (() => void) | null
  send(text: string): void
  close(): void
}

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>

export interface ClientOptions {
  /** Address of the service: `https://notify.example.org`. */
  readonly url: string
  /** Fetches a fresh token of the user. It is asked before each attempt and when the token is about to expire. */
  readonly token: () => string | Promise<string>
  /** Where the place in the log is kept. Without it each page load starts at the oldest entry. */
  readonly cursor?: CursorStore
  /** `false` gives each tab its own connection. */
  readonly shared?: boolean
  /** Receives what a handler threw; the default is the global `reportError`. */
  readonly onError?: (error: unknown) => void
  /** `undefined` uses streams only. */
  readonly WebSocket?: (new (url: string, protocols: string[]) => Socket) | undefined
  readonly fetch?: Fetch
  /** Returns a number from 0 to 1, without 1. */
  readonly random?: () => number
  readonly clock?: Clock
}

export interface Client<Events extends object = Record<string, unknown>>
  extends AsyncIterable<Notification<Events>> {
  /** A snapshot of the connection. */
  readonly connection: ConnectionState
  /**
   * Calls the handler once for each notification of the type, in order; the next one waits for its promise. When it
   * resolves, the notification is acknowledged and its place is saved. Returns a function that removes it.
   */
  on<Type extends TypeOf<Events>>(
    type: Type,
    handler: (notification: Notification<Events, Type>) => unknown,
  ): () => void
  /** Subscribes to channels, again after each reconnect. Counted: the last of several leaves. */
  subscribe(...channels: readonly string[]): () => void
  /**
   * Resolves when the client is online and its channels are answered. Rejects with code `TIMEOUT` after `timeout`
   * milliseconds, or when the client closes.
   */
  ready(options?: { readonly timeout?: number }): Promise<void>
  /** Calls the listener after each change of `connection`, and also when channels were answered or left. */
  watch(listener: () => void): () => void
  /** Calls the listener when notifications may be missing. */
  onGap(listener: (gap: Gap) => void): () => void
  /** Ends everything, for good. */
  close(): void
  [Symbol.dispose](): void
}
