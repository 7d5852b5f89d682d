import { addressOf, check, checkNumber, checkObject, checkTenant, hasControl } from './check.ts'
import type { ServerOptions } from './types.ts'
import { wait } from './wait.ts'

/** The longest delay of a timer. */
const MAX_MS = 2 ** 31 - 1
const MAX_COUNT = 10_000
const ENCODER = new TextEncoder()

/** A header holds bytes: one character for each. */
const asHeader = (key: string): string =>
  Array.from(ENCODER.encode(key), byte => String.fromCharCode(byte)).join('')

function headersOf({ apiKey, tenant }: ServerOptions): Readonly<Record<string, string>> {
  const key = typeof apiKey === 'string' ? apiKey.trim() : apiKey
  // The service separates keys by commas: none contains one.
  const isKey = typeof key === 'string' && key !== '' && !key.includes(',') && !hasControl(key)
  check('apiKey', key === undefined || isKey, 'one key, not empty, without comma or control characters')
  checkTenant(tenant)
  return {
    'content-type': 'application/json',
    ...(key !== undefined && { 'x-api-key': asHeader(key) }),
    ...(tenant !== undefined && { 'x-tenant-id': tenant }),
  }
}

/** The options of calls with their defaults. Throws INVALID_ARGUMENT for one that cannot be used. */
export function settingsOf(options: ServerOptions) {
  checkObject('options', options, 'url')
  const {
    retries = 4,
    timeout = 10_000,
    deadline = 60_000,
    concurrency = 50,
    algorithm,
    // Looked up at each call: tests and tracing may replace it later.
    fetch = (...request) => globalThis.fetch(...request),
    random = Math.random,
    sleep = wait,
  } = options
  const url = addressOf(options.url)
  const headers = headersOf(options)
  checkNumber('retries', retries, 0, MAX_COUNT)
  checkNumber('timeout', timeout, 1, MAX_MS)
  checkNumber('deadline', deadline, 1, MAX_MS)
  checkNumber('concurrency', concurrency, 1, MAX_COUNT)
  const isAlgorithm = algorithm === undefined || /^HS(256|384|512)$/.test(algorithm)
  check('algorithm', isAlgorithm, 'HS256, HS384 or HS512')
  return { url, headers, retries, timeout, deadline, concurrency, fetch, random, sleep }
}
