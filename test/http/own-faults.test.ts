import { describe, expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { eventually } from '../support/visit.ts'

const ON = { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' }
const API = '/api/v1'
const SEND = `${API}/notifications/send`
const BODY = { target_user_id: 'u', event_type: 'e', payload: 1 }
const KEYED = { 'idempotency-key': 'k' }
const MESSAGE = "undefined is not an object (evaluating 'head.seq')"

const faulty = async (): Promise<never> => {
  throw new TypeError(MESSAGE)
}

type Break = (store: Store) => Partial<Store>

const log =
  (part: Partial<Record<keyof Store['log'], typeof faulty>>): Break =>
  store => ({ log: { ...store.log, ...part } })
const templates =
  (part: Partial<Record<keyof Store['templates'], typeof faulty>>): Break =>
  store => ({ templates: { ...store.templates, ...part } })

const start = (broken: Break): Promise<TestApp> =>
  startTestApp(ON, { wrapStore: store => ({ ...store, ...broken(store) }) })

const faultsIn = ({ lines }: TestApp) =>
  lines.filter(({ event }) => event === 'http.fault' || event === 'fault.unhandled')

const asClient = (app: TestApp, path: string, body: unknown, method = 'POST') =>
  app.token('u').then(token =>
    fetch(app.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )

const TEMPLATE = { id: 't', name: 'T', event_type: 'e', payload_template: 1 }
const USES_TEMPLATE = { target_user_id: 'u', template_id: 't' }

const REQUESTS: readonly (readonly [
  name: string,
  broken: Break,
  ask: (app: TestApp) => Promise<{ readonly status: number }>,
])[] = [
  ['a send', log({ append: faulty }), app => app.post(SEND, BODY)],
  [
    'a batch',
    log({ append: faulty }),
    app =>
      app.post(`${API}/notifications/batch`, {
        notifications: [{ target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }],
      }),
  ],
  [
    'a send with a key',
    store => ({ idempotency: { ...store.idempotency, reserve: faulty } }),
    app => app.post(SEND, BODY, KEYED),
  ],
  ['a send by a template', templates({ get: faulty }), app => app.post(SEND, USES_TEMPLATE)],
  ['a template', templates({ create: faulty }), app => app.post(`${API}/templates`, TEMPLATE)],
  ['the templates', templates({ list: faulty }), app => app.get(`${API}/templates`)],
  ['a log', log({ list: faulty }), app => app.get(`${API}/users/u/notifications`)],
  ['a notification', log({ report: faulty }), app => app.get(`${API}/notifications/${crypto.randomUUID()}`)],
  [
    'an acknowledgement',
    store => ({ acks: { ...store.acks, ack: faulty } }),
    app => asClient(app, `${API}/me/acks`, { notification_ids: [crypto.randomUUID()] }),
  ],
  [
    'a revocation',
    store => ({ revocations: { ...store.revocations, revoke: faulty } }),
    app => app.post(`${API}/users/u/disconnect`, { issued_before: Math.floor(Date.now() / 1000) }),
  ],
  [
    'a token',
    store => ({ revocations: { ...store.revocations, before: faulty } }),
    app => asClient(app, `${API}/me/acks`, { notification_ids: [crypto.randomUUID()] }),
  ],
  [
    'a new stream',
    store => ({ revocations: { ...store.revocations, before: faulty } }),
    async app => fetch(`${app.url}/sse?token=${await app.token('u')}`),
  ],
]

describe('an internal error', () => {
  test.each(REQUESTS)(
    'in %s is answered 500, counted once and logged with its stack',
    async (_, broken, ask) => {
      await using app = await start(broken)
      const { status } = await ask(app)
      expect(status).toBe(500)
      expect(app.app.stats.unhandledErrors).toBe(1)
      expect(JSON.stringify(faultsIn(app))).toContain('own-faults.test.ts')
      expect((await app.get('/health/ready')).status).toBe(200)
    },
  )

  for (const [when, broken] of [
    ['while a connection starts', log({ open: faulty })],
    ['while a log is replayed', log({ read: faulty })],
  ] as const)
    test(`${when} closes that connection once, and no other`, async () => {
      await using app = await start(broken)
      await app.post(SEND, BODY)
      const socket = await connectSocket(`${app.url}/ws?token=${await app.token('u')}`)
      expect(await socket.closed).toMatchObject({ code: 1006 })
      expect(app.app.stats.unhandledErrors).toBe(1)
      const stream = await connectStream(`${app.url}/sse?token=${await app.token('u')}&cursor=`)
      await stream.closed
      expect(app.app.stats.unhandledErrors).toBe(2)
      expect(faultsIn(app)).toHaveLength(2)
      expect((await app.get('/health')).json.connections.total).toBe(0)
    })

  test('in an acknowledgement over a socket closes that socket', async () => {
    await using app = await start(store => ({ acks: { ...store.acks, ack: faulty } }))
    const socket = await connectSocket(`${app.url}/ws?token=${await app.token('u')}`)
    socket.send({ type: 'Ack', payload: { notification_id: crypto.randomUUID() } })
    expect(await socket.closed).toMatchObject({ code: 1006 })
    expect(app.app.stats.unhandledErrors).toBe(1)
  })

  test('in a token renewal keeps the connection and its former token', async () => {
    let isBroken = false
    await using app = await start(store => ({
      revocations: {
        ...store.revocations,
        before: owner => (isBroken ? faulty() : store.revocations.before(owner)),
      },
    }))
    const token = await app.token('u')
    const socket = await connectSocket(`${app.url}/ws?token=${token}`)
    isBroken = true
    socket.send({ type: 'Auth', payload: { token } })
    expect(await socket.nextOf('error')).toMatchObject({ code: 'UNAUTHORIZED' })
    expect(app.app.stats.unhandledErrors).toBe(1)
    socket.send({ type: 'Ping' })
    await socket.nextOf('pong')
  })

  test('in the totals of logs is counted, and /health answers', async () => {
    await using app = await start(log({ totals: faulty }))
    expect((await app.get('/health')).status).toBe(200)
    await eventually(() => app.app.stats.unhandledErrors === 1)
  })

  test('in one redelivery delays no redelivery of another user', async () => {
    const env = { ...ON, ACK_TIMEOUT_SECONDS: '1' }
    await using app = await startTestApp(env, {
      wrapStore: store => ({
        ...store,
        acks: {
          ...store.acks,
          redeliver: (owner, ...rest) =>
            owner.endsWith('u') ? faulty() : store.acks.redeliver(owner, ...rest),
        },
      }),
    })
    const sockets = await Promise.all(
      ['u', 'v'].map(async user => connectSocket(`${app.url}/ws?token=${await app.token(user)}`)),
    )
    for (const user of ['u', 'v']) await app.post(SEND, { ...BODY, target_user_id: user })
    for (const socket of sockets) await socket.nextOf('notification')
    expect(await sockets[1]?.nextOf('notification')).toMatchObject({ redelivered: 1 })
    expect(app.app.stats.unhandledErrors).toBeGreaterThan(0)
  }, 20_000)
})
