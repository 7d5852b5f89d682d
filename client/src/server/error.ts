export interface ErrorDetail {
  readonly path: string
  readonly message: string
}

/** Codes of the API. */
export type ApiErrorCode =
  | 'INVALID_JSON'
  | 'VALIDATION_ERROR'
  | 'INVALID_ID'
  | 'INVALID_TEMPLATE'
  | 'BATCH_TOO_LARGE'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'CHANNEL_NOT_FOUND'
  | 'USER_NOT_CONNECTED'
  | 'TENANT_NOT_FOUND'
  | 'NOTIFICATION_NOT_FOUND'
  | 'TEMPLATE_NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'TEMPLATE_EXISTS'
  | 'IDEMPOTENCY_IN_PROGRESS'
  | 'PAYLOAD_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'SUBSTITUTION_FAILED'
  | 'UPGRADE_REQUIRED'
  | 'RATE_LIMITED'
  | 'CONNECTION_LIMIT'
  | 'TOO_MANY_REVOCATIONS'
  | 'INTERNAL_ERROR'
  | 'STORE_UNAVAILABLE'
  | 'NOT_READY'
  | 'SHUTTING_DOWN'
  | 'STORE_FULL'

/**
 * Codes of the API, and of this client:
 * - `INVALID_ARGUMENT`: an option or argument cannot be used; nothing was sent.
 * - `NO_SECRET`: `token` needs the option `secret`.
 * - `UNREACHABLE`: no answer; the service may have carried out the call.
 * - `UNEXPECTED_ANSWER`: a proxy or another server answered.
 * - `TIMEOUT`: the deadline passed while the call waited for its turn; nothing was sent.
 * - `ABORTED`: the caller's signal ended the call.
 */
export type AraErrorCode =
  | ApiErrorCode
  | 'INVALID_ARGUMENT'
  | 'NO_SECRET'
  | 'UNREACHABLE'
  | 'UNEXPECTED_ANSWER'
  | 'TIMEOUT'
  | 'ABORTED'

interface ErrorOptions {
  readonly status?: number
  readonly details?: readonly ErrorDetail[]
  readonly retryAfter?: number | undefined
  readonly requestId?: string | undefined
  readonly cause?: unknown
}

/** A call that failed: a refusal by the service, no answer from it, or an argument that cannot be used. */
export class AraError extends Error {
  readonly code: AraErrorCode
  /** Status of the answer; 0 without one. */
  readonly status: number
  readonly details: readonly ErrorDetail[]
  /** Seconds to wait before another call, if the answer says so. */
  readonly retryAfter: number | undefined
  /** `X-Request-Id` of the answer, as in the log of the service. */
  readonly requestId: string | undefined

  constructor(
    code: AraErrorCode,
    message: string,
    { status = 0, details = [], retryAfter, requestId, cause }: ErrorOptions = {},
  ) {
    super(message, { cause })
    this.name = 'AraError'
    this.code = code
    this.status = status
    this.details = details
    this.retryAfter = retryAfter
    this.requestId = requestId
  }
}
