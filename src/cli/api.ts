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

/** Says in one line why a request got no answer. */
export function noAnswer(url: string, error: unknown): Error {
  const isLate = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
  return new Error(
    isLate
      ? `no answer from ${url} in time: check the service with "doctor"`
      : `no service answers at ${url}${codeOf(error)}: start it, or give its address with --url`,
    { cause: error },
  )
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
    throw noAnswer(url, error)
  }
}

/** Code and message of an error envelope; otherwise only the status. */
export function refusalOf({ status, body }: Pick<Answer, 'status' | 'body'>): {
  readonly code: string
  readonly message: string
} {
  const error = body?.['error']
  if (!isRecord(error)) return { code: `HTTP ${status}`, message: 'the answer is not from this service' }
  return { code: String(error['code']), message: String(error['message']) }
}
