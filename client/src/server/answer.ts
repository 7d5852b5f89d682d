import { type ApiErrorCode, AraError, type ErrorDetail } from './error.ts'

/** A failed attempt; `mayPass`: another one may succeed. */
export interface Failure {
  readonly error: AraError
  readonly mayPass: boolean
}

/** Refusals that pass, and answers of proxies in front of a service that is away. */
const PASSING = [429, 502, 503, 504]

/** `Retry-After` in seconds: a number, or the time until a date (RFC 9110 §10.2.3). */
function retryAfterOf(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+$/.test(text)) return Number(text)
  const date = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1_000)
}

/** The body; of a page, which may be long, only its nature. */
async function textOf(response: Response): Promise<string> {
  if (!response.headers.get('content-type')?.includes('html')) return await response.text()
  await response.body?.cancel()
  return '<html>'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The error of the API in a body, if there is one. */
function refusalIn(body: unknown) {
  const error = isObject(body) ? body['error'] : undefined
  if (!isObject(error) || typeof error['code'] !== 'string') return undefined
  const { code, message, details } = error
  return {
    code: code as ApiErrorCode,
    message: String(message),
    details: Array.isArray(details) ? (details as ErrorDetail[]) : [],
  }
}

function unexpected(url: string, { type, status, headers }: Response, isBroken: boolean): string {
  const location = headers.get('location')
  if (type === 'opaqueredirect' || location !== null)
    return `${url} redirects${location === null ? '' : ` to ${location}`}: set url to the address that answers`
  const answered = `${url} answered ${status}`
  if (isBroken) return `${answered} with incomplete JSON`
  return `${answered} without the JSON of the service: check url, and proxies on the way`
}

/** The body of an answer with 2xx, or a failure. Rejects when the connection breaks. */
export async function read(url: string, response: Response): Promise<{ readonly answer: object } | Failure> {
  const { ok, status, headers } = response
  const text = await textOf(response)
  const body = parse(text)
  if (ok && isObject(body)) return { answer: body }
  const refusal = refusalIn(body)
  const { code = 'UNEXPECTED_ANSWER', details = [] } = refusal ?? {}
  const isBroken = status === 200 && body === undefined && /^\s*(?:\{|$)/.test(text)
  const error = new AraError(code, refusal?.message ?? unexpected(url, response, isBroken), {
    status,
    details,
    retryAfter: retryAfterOf(headers),
    requestId: headers.get('x-request-id') ?? undefined,
  })
  return { error, mayPass: PASSING.includes(status) || isBroken || code === 'IDEMPOTENCY_IN_PROGRESS' }
}

/** The innermost cause: Node says only "fetch failed" above it. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  if (cause.cause !== undefined) return reasonOf(cause.cause)
  const { message } = cause
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  return message.includes(code) ? message : `${message} (${code})`.trim()
}

/** An attempt without an answer. */
export function noAnswer(url: string, cause: unknown): Failure {
  const error = new AraError('UNREACHABLE', `no answer from ${url}: ${reasonOf(cause)}`, { cause })
  return { error, mayPass: true }
}
