/** All error codes with their HTTP status. Codes without one occur in WebSocket messages only. */
export const ERRORS = {
  INVALID_JSON: {
    status: 400,
    help: 'the body must be JSON in UTF-8, without trailing data, nested at most 64 levels deep',
  },
  VALIDATION_ERROR: {
    status: 422,
    help: 'a field has a wrong shape (422) or an invalid value (400); `details` names each fault',
  },
  INVALID_ID: { status: 400, help: 'a template id must be 1 to 64 bytes of letters, digits, - and _' },
  INVALID_TEMPLATE: {
    status: 400,
    help: 'a field of the template is out of bounds; `details` names each',
  },
  BATCH_TOO_LARGE: { status: 400, help: 'a batch holds at most 100 items: send the rest in another one' },
  UNAUTHORIZED: { status: 401, help: 'API key or token missing, wrong, expired or revoked' },
  FORBIDDEN: {
    status: 403,
    help: 'origin not in CORS_ORIGINS, an API key bound to another tenant, a channel that the token does not allow, or a client that the backend disconnected',
  },
  NOT_FOUND: { status: 404, help: 'unknown path' },
  CHANNEL_NOT_FOUND: { status: 404, help: 'no connection subscribes to this channel' },
  USER_NOT_CONNECTED: { status: 404, help: 'the user has no connection' },
  TENANT_NOT_FOUND: {
    status: 404,
    help: 'the tenant has no connection and has sent nothing since the start',
  },
  NOTIFICATION_NOT_FOUND: {
    status: 404,
    help: 'no notification for users has this id',
  },
  TEMPLATE_NOT_FOUND: { status: 404, help: 'no template has this id' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    help: 'the path does not support this method; `Allow` lists the supported methods',
  },
  TEMPLATE_EXISTS: { status: 409, help: 'a template with this id exists: change it with PUT' },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    help: 'the first request with this key is still running: retry after a second',
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    help: 'the body exceeds its limit, or recipients times payload exceed 64 MiB',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    help: 'Content-Type must be application/json; Content-Encoding is not supported',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    help: 'the idempotency key was used for another request: use a new key',
  },
  SUBSTITUTION_FAILED: { status: 422, help: 'the rendered payload exceeds 65,536 bytes' },
  UPGRADE_REQUIRED: { status: 426, help: '`/ws` accepts WebSocket upgrades only' },
  RATE_LIMITED: {
    status: 429,
    help: 'too many requests, connections or messages; retry after `Retry-After` seconds',
  },
  CONNECTION_LIMIT: {
    status: 429,
    help: 'too many connections; a WebSocket receives this code as a message, then close 1013',
  },
  TOO_MANY_REVOCATIONS: {
    status: 429,
    help: 'the tenant has the maximum number of revocations in force; the connections of the user were closed nevertheless',
  },
  INTERNAL_ERROR: { status: 500, help: 'a fault of the server' },
  STORE_UNAVAILABLE: {
    status: 503,
    help: 'the store did not accept the request or did not answer, or this node does not reach the others; retry after a second',
  },
  NOT_READY: { status: 503, help: 'the node accepts no new work; `reasons` says why' },
  SHUTTING_DOWN: { status: 503, help: 'the node is draining and accepts no new connections; connect again' },
  STORE_FULL: {
    status: 507,
    help: 'all logs hold STORE_MAX_BYTES, or those of the tenant hold TENANT_MAX_STORED_BYTES; nothing was stored',
  },
  INVALID_MESSAGE: { help: 'the message must be a JSON object of a known type' },
  UNSUPPORTED_FORMAT: { help: 'messages must be text frames (got a binary frame)' },
  INVALID_ACK: {
    help: 'the user did not receive this notification, or the cursor is of another epoch or beyond the head',
  },
  SUBSCRIPTION_ERROR: { help: 'invalid channel name, limit reached or channel not allowed' },
} as const satisfies Record<string, { readonly status?: number; readonly help: string }>

export type ErrorCode = keyof typeof ERRORS

/** The codes that answer an HTTP request. */
export type HttpErrorCode = {
  [C in ErrorCode]: (typeof ERRORS)[C] extends { status: number } ? C : never
}[ErrorCode]

/** One fault: its place (`notifications[3].target`) and the expected value, never the sent one. */
export interface Detail {
  readonly path: string
  readonly message: string
}

/** Limits the faults that one answer names. */
const MAX_DETAILS = 20

interface ErrorOptions {
  readonly message?: string
  /** Overrides the status of the code, for example 400 for a VALIDATION_ERROR of the meaning. */
  readonly status?: number
  readonly details?: readonly Detail[]
  readonly headers?: Readonly<Record<string, string>>
  /** Keys of the envelope beside `error`. */
  readonly beside?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** Makes the message of an error from the first of its faults. */
function firstOf([first, ...more]: readonly Detail[] = []): string | undefined {
  if (first === undefined) return undefined
  const text = `${first.path === '' ? 'body' : first.path}: ${first.message}`
  return more.length === 0 ? text : `${text} (and ${more.length} more)`
}

/** An expected refusal of a request; becomes the error envelope. */
export class AppError extends Error {
  readonly code: HttpErrorCode
  readonly status: number
  readonly details: readonly Detail[] | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly beside: Readonly<Record<string, unknown>> | undefined

  constructor(code: HttpErrorCode, { message, status, details, headers, beside, cause }: ErrorOptions = {}) {
    super(message ?? firstOf(details) ?? ERRORS[code].help, { cause })
    this.code = code
    this.status = status ?? ERRORS[code].status
    this.details = details?.slice(0, MAX_DETAILS)
    this.headers = headers ?? {}
    this.beside = beside
  }
}

/** Rejects a well-formed value that makes no sense: 400. */
export const invalidValue = (path: string, message: string): AppError =>
  new AppError('VALIDATION_ERROR', {
    status: 400,
    details: [{ path, message }],
  })

/** Rejects a request that the store refused or did not answer: 503. */
export const unavailable = (cause?: unknown): AppError =>
  new AppError('STORE_UNAVAILABLE', { headers: { 'retry-after': '1' }, cause })

/** Rejection of a store that is unavailable or late. Other rejections are our own faults. */
export class StoreAway extends Error {}

/** Rejection of a store that reached its bound on bytes; it stored nothing. */
export class StoreFull extends Error {}

/** Maps a rejection of the store to an AppError. Our own faults pass and become a 500. */
export const storeUnavailable = (cause: unknown): never => {
  if (cause instanceof StoreFull) throw new AppError('STORE_FULL', { cause })
  throw cause instanceof StoreAway ? unavailable(cause) : cause
}
