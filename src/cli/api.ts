const DEADLINE_MS = 10_000

export interface Answer {
  readonly status: number
  readonly text: string
  /** Parsed body; undefined if it is no JSON object. */
  readonly body: Readonly<Record<string, unknown>> | undefined
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST'
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : ''

/** Codes of a certificate that is not trusted, has expired or is for another host. */
const CERTIFICATE = /CERT|VERIFY/

const isTimeout = (cause: unknown): boolean =>
  cause instanceof Error && (cause.name === 'TimeoutError' || cause.name === 'AbortError')

function faultOf(url: string, cause: unknown): { readonly reason: string; readonly advice: string } {
  const code = codeOf(cause)
  if (isTimeout(cause))
    return { reason: `no answer from ${url} in time`, advice: 'check the service with "doctor"' }
  if (CERTIFICATE.test(code))
    return {
      reason: `the certificate of ${url} is refused${code}`,
      advice: 'correct the host name, or trust its authority with NODE_EXTRA_CA_CERTS',
    }
  const advice = 'start it, or give its address with --url'
  return { reason: `no service answers at ${url}${code}`, advice }
}

/** A request without an answer. */
export class NoAnswer extends Error {
  /** True when the time limit passed: the other end may be frozen. */
  readonly isLate: boolean
  readonly reason: string
  readonly advice: string

  constructor(url: string, cause: unknown) {
    const { reason, advice } = faultOf(url, cause)
    super(`${reason}: ${advice}`, { cause })
    this.isLate = isTimeout(cause)
    this.reason = reason
    this.advice = advice
  }
}

/** Calls the service. Rejects with one line if it does not answer. */
export async function callApi(url: string, path: string, request: ApiRequest = {}): Promise<Answer> {
  const { method = 'GET', key, headers, body, signal = AbortSignal.timeout(DEADLINE_MS) } = request
  try {
    const response = await fetch(url + path, {
      method,
      signal,
      redirect: 'manual',
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'x-api-key': key }),
        ...headers,
      },
      ...(body !== undefined && { body }),
    })
    const text = await response.text()
    return { status: response.status, text, body: parsed(text) }
  } catch (error) {
    throw new NoAnswer(url, error)
  }
}

/** Whether the answer is an error of this service. */
export const isEnvelope = ({ body }: Pick<Answer, 'body'>): boolean =>
  isRecord(body?.['error']) && typeof body['error']['code'] === 'string'

/** Code and message of an error envelope; otherwise only the status. */
export function refusalOf({ status, body }: Pick<Answer, 'status' | 'body'>): {
  readonly code: string
  readonly message: string
} {
  const error = body?.['error']
  if (!isRecord(error)) return { code: `HTTP ${status}`, message: 'the answer is not from this service' }
  return { code: String(error['code']), message: String(error['message']) }
}
