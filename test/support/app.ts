import { SignJWT } from 'jose'
import { type App, startApp } from '../../src/app.ts'
import { type Environment, loadConfig } from '../../src/config/config.ts'
import type { SendQueues } from '../../src/lib/system/send-queues.ts'
import type { Clock } from '../../src/lib/time/clock.ts'
import { createLogger } from '../../src/observe/log.ts'
import type { Store } from '../../src/store/store.ts'
import { conform } from './openapi.ts'

export const SECRET = 'a-secret-for-tests-of-at-least-32-bytes'
export const API_KEY = 'a-key-for-tests-0123456789'

export interface TestApp extends AsyncDisposable {
  readonly app: App
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Log lines so far, parsed. */
  readonly lines: readonly Record<string, unknown>[]
  /** Signs a token of the user, valid for an hour by default; an undefined claim is left out. */
  token(user: string, claims?: Record<string, unknown>): Promise<string>
  /** Calls the API with the key. Sends strings and bytes unchanged, anything else as JSON. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Parsed body; undefined if empty. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read any field.
  readonly json: any
}

interface TestOptions {
  readonly clock?: Clock
  readonly wrapStore?: (store: Store) => Store
  readonly wrapQueues?: (queues: SendQueues) => SendQueues
}

/** Fetches an answer, which must conform to `/openapi.json`. */
async function answerOf(url: string, path: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url + path, init)
  const { status, headers } = response
  const text = await response.text()
  conform({ method: init.method ?? 'GET', path, status, headers, text })
  return { status, headers, text, json: text === '' ? undefined : JSON.parse(text) }
}

const textOf = (body: unknown): string | Uint8Array =>
  typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)

/** Starts a service on a free port: `await using service = await startTestApp({ QUEUE_ENABLED: 'true' })`. */
export async function startTestApp(env: Environment = {}, options: TestOptions = {}): Promise<TestApp> {
  const { config } = loadConfig({
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: '0',
    JWT_SECRET: SECRET,
    API_KEY,
    NODE_ID: 'test',
    LOG_LEVEL: 'debug',
    REDIS_URL: '',
    ...env,
  })
  const lines: Record<string, unknown>[] = []
  const logger = await createLogger({
    level: config.logLevel,
    format: 'json',
    out: { write: line => void lines.push(JSON.parse(line)) },
  })
  const app = await startApp({ config, version: '0.0.0-test', logger, ...options })
  const url = `http://127.0.0.1:${app.port}`

  return {
    app,
    port: app.port,
    url,
    lines,
    token: (user, claims = {}) =>
      new SignJWT({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600, ...claims })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new TextEncoder().encode(SECRET)),
    post: async (path, body, headers = {}) =>
      answerOf(url, path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, ...headers },
        body: textOf(body),
      }),
    get: async (path, headers = {}) => answerOf(url, path, { headers: { 'x-api-key': API_KEY, ...headers } }),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  }
}
