import { expect, test } from 'bun:test'
import { ERRORS, StoreAway, StoreFull } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import type { SocketClient } from '../support/client.ts'
import { socketOf } from '../support/visit.ts'

const AT = '/api/v1'
const SEND = `${AT}/notifications/send`
const BODY = { target_user_id: 'u', event_type: 'e', payload: 1 }
const MARK = 'mark-that-is-never-echoed'
const ENV = {
  ACK_ENABLED: 'true',
  QUEUE_ENABLED: 'true',
  TENANT_ENABLED: 'true',
  TENANT_API_KEYS: 'acme:a-key-of-acme-0123456789',
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1',
}

interface Faulty {
  readonly app: TestApp
  /** A server whose store rejects appends and totals. */
  readonly broken: TestApp
  /** A server whose store is full. */
  readonly full: TestApp
  /** A server whose store never answers. */
  readonly stuck: TestApp
  /** A server whose rate limit allows one request. */
  readonly limited: TestApp
  readonly draining: TestApp
}

type Ask = (apps: Faulty) => Promise<{ readonly status: number; readonly text: string }>

const breaking = (store: Store): Store => ({
  ...store,
  log: {
    ...store.log,
    append: () => Promise.reject(new StoreAway(MARK)),
    // Causes an internal error: the caller expects a promise.
    report: () => {
      throw new Error(MARK)
    },
  },
})

const filled = (store: Store): Store => ({
  ...store,
  log: { ...store.log, append: () => Promise.reject(new StoreFull(MARK)) },
  revocations: { ...store.revocations, revoke: async () => 'full' },
})

const get =
  (path: string, headers: Record<string, string> = {}): Ask =>
  ({ app }) =>
    app.get(path, headers)

const post =
  (path: string, body: unknown, headers: Record<string, string> = {}): Ask =>
  ({ app }) =>
    app.post(path, body, headers)

const stream = async (app: TestApp, user: string) => {
  const abort = new AbortController()
  const response = await fetch(`${app.url}/sse?token=${await app.token(user)}`, { signal: abort.signal })
  const { status } = response
  const text = status === 200 ? '' : await response.text()
  abort.abort()
  return { status, text }
}

const template = (more: object) => ({ id: 't', name: 'T', event_type: 'e', payload_template: {}, ...more })

/** Causes each error code over HTTP. */
const HTTP: Record<string, Ask> = {
  INVALID_JSON: post(SEND, `{"${MARK}"`),
  VALIDATION_ERROR: post(SEND, { ...BODY, target_user_id: [MARK] }),
  INVALID_ID: post(`${AT}/templates`, template({ id: `${MARK} ` })),
  INVALID_TEMPLATE: post(`${AT}/templates`, template({ name: '' })),
  BATCH_TOO_LARGE: post(`${AT}/notifications/batch`, {
    notifications: Array(101).fill({ target: { type: 'user', value: 'u' }, event_type: 'e', payload: MARK }),
  }),
  UNAUTHORIZED: post(SEND, BODY, { 'x-api-key': MARK }),
  FORBIDDEN: post(SEND, BODY, { 'x-api-key': 'a-key-of-acme-0123456789', 'x-tenant-id': MARK }),
  NOT_FOUND: get(`/${MARK}`),
  CHANNEL_NOT_FOUND: get(`${AT}/channels/${MARK}`),
  USER_NOT_CONNECTED: get(`${AT}/users/${MARK}/subscriptions`),
  TENANT_NOT_FOUND: get(`${AT}/tenants/${MARK}`),
  NOTIFICATION_NOT_FOUND: get(`${AT}/notifications/${MARK}`),
  TEMPLATE_NOT_FOUND: get(`${AT}/templates/${MARK}`),
  METHOD_NOT_ALLOWED: get(SEND),
  TEMPLATE_EXISTS: async ({ app }) => {
    await app.post(`${AT}/templates`, template({}))
    return app.post(`${AT}/templates`, template({ name: MARK }))
  },
  // The first of both requests is never answered.
  IDEMPOTENCY_IN_PROGRESS: ({ stuck }) => {
    return Promise.race([0, 1].map(() => stuck.post(SEND, BODY, { 'idempotency-key': MARK })))
  },
  PAYLOAD_TOO_LARGE: post(SEND, MARK.repeat(4_000)),
  UNSUPPORTED_MEDIA_TYPE: post(SEND, BODY, { 'content-type': `text/${MARK}` }),
  IDEMPOTENCY_KEY_REUSED: async ({ app }) => {
    await app.post(SEND, BODY, { 'idempotency-key': MARK })
    return app.post(SEND, { ...BODY, event_type: 'other' }, { 'idempotency-key': MARK })
  },
  SUBSTITUTION_FAILED: async ({ app }) => {
    const many = Array.from({ length: 2_000 }, () => '{{v}}')
    await app.post(`${AT}/templates`, template({ id: 'many', payload_template: many }))
    return app.post(SEND, { target_user_id: 'u', template_id: 'many', variables: { v: MARK.repeat(10) } })
  },
  UPGRADE_REQUIRED: async ({ app }) => app.get(`/ws?token=${await app.token('u')}`),
  RATE_LIMITED: async ({ limited }) => {
    await limited.get('/stats')
    return limited.get('/stats')
  },
  CONNECTION_LIMIT: async ({ app }) => {
    using _ = await socketOf(app, 'one')
    // Awaits here: the first connection stays open until then.
    return await stream(app, 'one')
  },
  TOO_MANY_REVOCATIONS: ({ full }) => full.post(`${AT}/users/${MARK}/disconnect`, { issued_before: 1 }),
  INTERNAL_ERROR: ({ broken }) => broken.get(`${AT}/notifications/${crypto.randomUUID()}`),
  STORE_UNAVAILABLE: ({ broken }) => broken.post(SEND, BODY),
  NOT_READY: ({ draining }) => draining.get('/health/ready'),
  SHUTTING_DOWN: ({ draining }) => stream(draining, 'new'),
  STORE_FULL: ({ full }) => full.post(SEND, BODY),
}

/** Causes each error code over a WebSocket. */
const SOCKET: Record<string, (client: SocketClient, apps: Faulty) => unknown> = {
  INVALID_MESSAGE: client => client.sendRaw(`{"type":"${MARK}"}`),
  UNSUPPORTED_FORMAT: client => client.sendRaw(new TextEncoder().encode(MARK)),
  SUBSCRIPTION_ERROR: client => client.send({ type: 'Subscribe', payload: { channels: ['no name'] } }),
  INVALID_ACK: client => client.send({ type: 'Ack', payload: { cursor: MARK } }),
  UNAUTHORIZED: client => client.send({ type: 'Auth', payload: { token: MARK } }),
  FORBIDDEN: async (client, { app }) =>
    client.send({ type: 'Auth', payload: { token: await app.token('somebody-else') } }),
  RATE_LIMITED: client => {
    for (let n = 0; n < 2; n++) client.send({ type: 'Ping' })
  },
  CONNECTION_LIMIT: () => undefined,
}

async function start() {
  const stack = new AsyncDisposableStack()
  const app = stack.use(await startTestApp(ENV))
  const broken = stack.use(await startTestApp({ ...ENV, RUN_MODE: 'production' }, { wrapStore: breaking }))
  const full = stack.use(await startTestApp(ENV, { wrapStore: filled }))
  const never = (store: Store): Store => ({
    ...store,
    log: { ...store.log, append: () => new Promise(() => {}) },
  })
  const stuck = stack.use(await startTestApp(ENV, { wrapStore: never }))
  const limited = stack.use(
    await startTestApp({
      ...ENV,
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_HTTP_BURST_SIZE: '1',
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
      RATELIMIT_WS_MESSAGES_PER_SECOND: '1',
    }),
  )
  const draining = stack.use(await startTestApp({ ...ENV, DRAIN_SECONDS: '60' }))
  const held = stack.use(new AsyncDisposableStack())
  // The drain closes connections over a minute; the server answers while one is open.
  for (const user of ['a', 'b', 'c', 'd', 'e']) held.use(await socketOf(draining, user))
  void draining.app.drain()
  return { app, broken, full, stuck, limited, draining, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('every HTTP error code occurs, with its status, in one envelope that repeats no input', async () => {
  await using apps = await start()
  const seen: [string, number][] = []
  for (const [code, ask] of Object.entries(HTTP)) {
    const { status, text } = await ask(apps)
    expect([code, text]).not.toEqual([code, ''])
    const { error } = JSON.parse(text)
    seen.push([error.code, status])
    expect([code, error.code, typeof error.message]).toEqual([code, code, 'string'])
    for (const secret of [MARK, API_KEY, import.meta.dir, 'at async']) expect(text).not.toContain(secret)
  }
  const documented = Object.entries(ERRORS).flatMap(([code, row]) =>
    'status' in row ? [[code, row.status]] : [],
  )
  expect(seen).toEqual(documented as [string, number][])
})

test('every error code of the WebSocket occurs', async () => {
  await using apps = await start()
  for (const [code, provoke] of Object.entries(SOCKET)) {
    const service = code === 'RATE_LIMITED' ? apps.limited : apps.app
    using client = await socketOf(service, code)
    using second = code === 'CONNECTION_LIMIT' ? await socketOf(service, code) : undefined
    await provoke(client, apps)
    const told = await (second ?? client).nextOf('error')
    expect([code, told.code, typeof told.message]).toEqual([code, code, 'string'])
    expect(told.message).not.toContain(MARK)
  }
  const only = Object.entries(ERRORS).flatMap(([code, row]) => ('status' in row ? [] : [code]))
  for (const code of only) expect(Object.keys(SOCKET)).toContain(code)
})
