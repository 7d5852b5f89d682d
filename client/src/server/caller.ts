import { AraError } from './error.ts'
import type { ServerOptions } from './types.ts'

/** Calls the API, again where that may help. The body is the same each time, so that its key stands for it. */
export type Call = (path: string, body: object | undefined, key: string | undefined) => Promise<unknown>

const RETRIES = 4
const TIMEOUT_MS = 10_000
const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 20_000
/** Refusals that pass, and answers of proxies in front of a service that is away. */
const PASSING = [429, 502, 503, 504]

interface Failure {
  readonly error: AraError
  readonly mayPass: boolean
  readonly retryAfterMs: number
}

const isBusy = ({ code }: AraError): boolean => code === 'IDEMPOTENCY_IN_PROGRESS'

async function failureOf(response: Response): Promise<Failure> {
  const { status, headers } = response
  const text = await response.text()
  let error = new AraError('UNEXPECTED_ANSWER', `the service answered ${status}`, { status })
  try {
    const { code, message, details } = JSON.parse(text).error
    error = new AraError(code, message, { status, details })
  } catch {
    // The answer of a proxy.
  }
  const retryAfterMs = Number(headers.get('retry-after')) * 1000 || 0
  return { error, mayPass: PASSING.includes(status) || isBusy(error), retryAfterMs }
}

export function createCaller(options: ServerOptions): Call {
  const {
    apiKey,
    tenant,
    retries = RETRIES,
    timeout = TIMEOUT_MS,
    fetch = globalThis.fetch,
    random = Math.random,
    sleep = ms => new Promise(resolve => setTimeout(resolve, ms)),
  } = options
  const url = options.url.replace(/\/+$/, '')

  const attempt = async (
    path: string,
    init: RequestInit,
  ): Promise<{ readonly answer: unknown } | Failure> => {
    try {
      // Without redirects: another method or host would hide a wrong address.
      const signal = AbortSignal.timeout(timeout)
      const response = await fetch(url + path, { ...init, redirect: 'error', signal })
      return response.ok ? { answer: await response.json() } : await failureOf(response)
    } catch (cause) {
      const error = new AraError('UNREACHABLE', `no answer from ${url}: ${String(cause)}`, { cause })
      return { error, mayPass: true, retryAfterMs: 0 }
    }
  }

  return async (path, body, key) => {
    const init = {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(apiKey !== undefined && { 'x-api-key': apiKey }),
        ...(tenant !== undefined && { 'x-tenant-id': tenant }),
        ...(key !== undefined && { 'idempotency-key': key }),
      },
      body: JSON.stringify(body ?? {}),
    }
    for (let failures = 0; ; failures++) {
      const result = await attempt(path, init)
      if ('answer' in result) return result.answer
      if (failures >= retries || !result.mayPass) throw result.error
      const backoffMs = random() * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures)
      await sleep(Math.max(result.retryAfterMs, backoffMs))
    }
  }
}
