import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { StoreAway, StoreFull } from '../../src/errors.ts'
import { MAX } from '../../src/notification/content.ts'
import type { Store } from '../../src/store/store.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import {
  type Ask,
  ask,
  type Described,
  DOCUMENT as document,
  type Json,
  operationsOf,
  refusalsOf,
  requestOf,
} from '../support/openapi.ts'
import { socketOf } from '../support/visit.ts'

const operations = operationsOf(document)
const BOUND_KEY = 'a-key-of-acme-0123456789'
const ENV = {
  ACK_ENABLED: 'true',
  QUEUE_ENABLED: 'true',
  TENANT_ENABLED: 'true',
  TENANT_API_KEYS: `acme:${BOUND_KEY}`,
  METRICS_KEY: 'a-key-for-scrapes-0123456789',
  CORS_ORIGINS: 'https://example.com',
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1',
}
const TEMPLATE = { id: 'inv_paid', name: 'T', event_type: 'e', payload_template: ['{{no}}', '{{no}}'] }

interface Apps {
  readonly app: TestApp
  /** A server whose store never answers. */
  readonly broken: TestApp
  /** A server whose store is full. */
  readonly full: TestApp
  /** A server whose rate limit allows one request. */
  readonly limited: TestApp
  readonly draining: TestApp
  /** A server whose template look-ups never end. */
  readonly stuck: TestApp
}

const away = () => Promise.reject(new StoreAway('away'))
const breaking = (store: Store): Store => ({
  ...store,
  log: { ...store.log, append: away, open: away, report: away },
  acks: { ...store.acks, ack: away, ackThrough: away },
  templates: { create: away, get: away, list: away, update: away, delete: away },
  revocations: { revoke: away, before: away },
})

const filled = (store: Store): Store => ({
  ...store,
  log: { ...store.log, append: () => Promise.reject(new StoreFull('no room')) },
  revocations: { ...store.revocations, revoke: async () => 'full' },
})

const stalling = (store: Store): Store => ({
  ...store,
  templates: { ...store.templates, get: () => new Promise(() => {}) },
})

const stack = new AsyncDisposableStack()
let apps: Apps

beforeAll(async () => {
  const app = stack.use(await startTestApp(ENV))
  const broken = stack.use(await startTestApp(ENV, { wrapStore: breaking }))
  const full = stack.use(await startTestApp(ENV, { wrapStore: filled }))
  const once = {
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_HTTP_BURST_SIZE: '1',
    RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
    RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
  }
  const limited = stack.use(await startTestApp({ ...ENV, ...once }))
  const draining = stack.use(await startTestApp({ ...ENV, DRAIN_SECONDS: '60' }))
  // The drain closes connections over a minute; the server answers while one is open.
  for (const user of ['a', 'b', 'c', 'd']) stack.use(await socketOf(draining, user))
  void draining.app.drain()
  await app.post('/api/v1/templates', TEMPLATE)
  const stuck = stack.use(await startTestApp(ENV, { wrapStore: stalling }))
  apps = { app, broken, full, limited, draining, stuck }
})

afterAll(() => stack.disposeAsync())

const bodyOf = ({ operation }: Described, name?: string): Json => {
  const examples = operation.requestBody?.content['application/json'].examples ?? {}
  return (name === undefined ? Object.values<Json>(examples)[0] : examples[name])?.value
}
const isSocket = ({ path }: Described) => path === '/ws' || path === '/sse'
const withQuery = (path: string, more: string) => path + (path.includes('?') ? '&' : '?') + more
const withHeaders = (request: Ask, headers: Record<string, string>): Ask => ({
  ...request,
  headers: { ...request.headers, ...headers },
})
const of =
  (operation: Described, user = 'u-7', body: unknown = bodyOf(operation)) =>
  async (app: TestApp) =>
    requestOf(document, operation, { apiKey: API_KEY, token: await app.token(user) }, body)

const withKey = (request: Ask, { operation }: Described): Ask =>
  withHeaders(request, { 'idempotency-key': operation.operationId })

type Provoke = (operation: Described, apps: Apps) => Promise<Json>

/** Sends the example of an operation after a change. */
const changed =
  (change: (request: Ask, operation: Described) => Ask): Provoke =>
  async (operation, { app }) =>
    ask(app.url, change(await of(operation)(app), operation))

/** Sends the example for something that does not exist. */
const unknown = changed(request => ({
  ...request,
  path: request.path.replace(/(inv_paid|orders|default|u-7)/, 'nobody'),
}))

/** A batch is answered 503 only if all items are. */
const oneItem = { notifications: [{ target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }] }
const needingStore = (operation: Described): unknown =>
  operation.path.endsWith('/batch')
    ? oneItem
    : (bodyOf(operation, 'template') ?? bodyOf(operation, 'revoked') ?? bodyOf(operation))

/** Causes each error code at an operation that documents it. */
const PROVOKE: Readonly<Record<string, Provoke>> = {
  '400 INVALID_JSON': changed(request => ({ ...request, body: '{' })),
  '422 VALIDATION_ERROR': changed(request => ({ ...request, body: '[]' })),
  '400 VALIDATION_ERROR': changed((request, { operation, path }) =>
    operation.security.some((each: Json) => 'apiKey' in each)
      ? withHeaders(request, { 'x-tenant-id': 'no tenant' })
      : path.startsWith('/docs')
        ? { ...request, path: '/docs/%zz' }
        : { ...request, path: withQuery(request.path, 'token=a&token=b') },
  ),
  '401 UNAUTHORIZED': changed(request =>
    withHeaders(request, { 'x-api-key': 'wrong', authorization: 'Bearer wrong' }),
  ),
  '403 FORBIDDEN': changed((request, operation) =>
    isSocket(operation)
      ? withHeaders(request, { origin: 'https://example.org' })
      : withHeaders(request, { 'x-api-key': BOUND_KEY, 'x-tenant-id': 'globex' }),
  ),
  '413 PAYLOAD_TOO_LARGE': changed((request, { operation }) => ({
    ...request,
    body: ' '.repeat(operation.requestBody['x-max-bytes'] + 1),
  })),
  '415 UNSUPPORTED_MEDIA_TYPE': changed(request =>
    withHeaders({ ...request, body: '{}' }, { 'content-type': 'text/plain' }),
  ),
  '429 RATE_LIMITED': async (operation, { limited }) => {
    const request = await of(operation)(limited)
    await ask(limited.url, request)
    return ask(limited.url, request)
  },
  '503 STORE_UNAVAILABLE': async (operation, { broken }) =>
    ask(broken.url, await of(operation, 'u-7', needingStore(operation))(broken)),
  '507 STORE_FULL': async (operation, { full }) => ask(full.url, await of(operation)(full)),
  '429 TOO_MANY_REVOCATIONS': async (operation, { full }) =>
    ask(full.url, await of(operation, 'u-7', needingStore(operation))(full)),
  '422 SUBSTITUTION_FAILED': changed((request, operation) => ({
    ...request,
    body: { ...bodyOf(operation, 'template'), variables: { no: 'x'.repeat(MAX.payloadBytes / 2) } },
  })),
  '400 BATCH_TOO_LARGE': changed(request => ({
    ...request,
    body: { notifications: Array(101).fill(oneItem.notifications[0]) },
  })),
  '400 INVALID_ID': changed((request, operation) => ({
    ...request,
    body: { ...bodyOf(operation), id: 'no id' },
  })),
  '400 INVALID_TEMPLATE': changed((request, operation) => ({
    ...request,
    body: { ...bodyOf(operation), name: '' },
  })),
  '409 TEMPLATE_EXISTS': changed(request => request),
  // The first of both requests is not answered.
  '409 IDEMPOTENCY_IN_PROGRESS': async (operation, { stuck }) => {
    const request = withKey(
      await of(operation, 'u-7', bodyOf(operation, 'template') ?? bodyOf(operation))(stuck),
      operation,
    )
    return Promise.race([0, 1].map(() => ask(stuck.url, request)))
  },
  '422 IDEMPOTENCY_KEY_REUSED': async (operation, { app }) => {
    const request = withKey(await of(operation)(app), operation)
    await ask(app.url, request)
    return ask(app.url, { ...request, body: ` ${JSON.stringify(request.body)}` })
  },
  '404 TEMPLATE_NOT_FOUND': unknown,
  '404 CHANNEL_NOT_FOUND': unknown,
  '404 TENANT_NOT_FOUND': unknown,
  '404 USER_NOT_CONNECTED': unknown,
  '404 NOTIFICATION_NOT_FOUND': changed(request => request),
  '404 NOT_FOUND': changed(request => ({ ...request, path: '/docs/none.js' })),
  '426 UPGRADE_REQUIRED': changed(request => request),
  '429 CONNECTION_LIMIT': async (operation, { app }) => {
    using _ = await socketOf(app, 'u-9')
    // Awaits here: the socket stays open until then.
    return await ask(app.url, await of(operation, 'u-9')(app))
  },
  '503 SHUTTING_DOWN': async (operation, { draining }) => ask(draining.url, await of(operation)(draining)),
  '503 NOT_READY': async (operation, { draining }) => ask(draining.url, await of(operation)(draining)),
}

describe('every error in the document occurs', () => {
  for (const each of operations) {
    const refusals = refusalsOf(document, each.operation)
    test(`${each.method} ${each.path}`, async () => {
      // An internal error cannot be caused everywhere; it has its own test.
      expect(refusals).toContainEqual([500, 'INTERNAL_ERROR'])
      const foreseen = refusals.filter(([status]) => status !== 500)
      const seen: [number, string][] = []
      for (const [status, code] of foreseen) {
        const provoke = PROVOKE[`${status} ${code}`]
        if (provoke === undefined) throw new Error(`how does ${status} ${code} come about?`)
        const answered = await provoke(each, apps)
        seen.push([answered.status, answered.json?.error?.code])
      }
      expect(seen).toEqual(foreseen.map(pair => [...pair]))
    })
  }
})
