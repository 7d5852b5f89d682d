export interface ErrorDetail {
  readonly path: string
  readonly message: string
}

/** A call that failed: a refusal by the service, or no answer from it. */
export class AraError extends Error {
  /** A code of the API such as `VALIDATION_ERROR`, or `UNREACHABLE`, `UNEXPECTED_ANSWER`, `NO_SECRET`. */
  readonly code: string
  /** Status of the answer; 0 without one. */
  readonly status: number
  readonly details: readonly ErrorDetail[]

  constructor(
    code: string,
    message: string,
    {
      status = 0,
      details = [],
      cause,
    }: { status?: number; details?: readonly ErrorDetail[]; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.name = 'AraError'
    this.code = code
    this.status = status
    this.details = details
  }
}
