import { errorLine } from '../../lib/error-line.ts'
import { NoAnswer } from '../api.ts'
import { type Finding, fail } from './finding.ts'

/** Key and tenant of the doctor. */
export interface Caller {
  readonly key: string | undefined
  readonly tenant?: string | undefined
}

/** A running service as the doctor reaches it. */
export interface RunningService extends Caller {
  readonly url: string
  /** Address of `/health`; another port with INTERNAL_PORT. */
  readonly healthUrl: string
}

export const SEE_LOG = 'look at the log of the service'
export const NOT_OURS = 'correct the address: another program answers there'

/** Advice for a refusal. `unauthorized` is the advice for a wrong key or token. */
export function adviceFor(status: number, unauthorized: string): string {
  if (status === 401) return unauthorized
  if (status === 429) return 'try again later, or raise this limit of the service'
  return status === 404 || status < 400 ? NOT_OURS : SEE_LOG
}

/** A step without an answer. */
export function notAnswered(check: string, error: unknown): Finding {
  if (!(error instanceof NoAnswer)) return fail(check, errorLine(error), SEE_LOG)
  return fail(check, error.reason, error.isLate ? SEE_LOG : error.advice)
}
