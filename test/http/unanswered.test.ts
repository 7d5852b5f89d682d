import { expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { startRedis } from '../support/redis.ts'
import { storePlace } from '../support/store-file.ts'
import { untilStoreIs } from '../support/stored.ts'

const AT = '/api/v1/notifications'
const CONTENT = { event_type: 'e', payload: 1 }

/** A server that stores sends and dies before it stores an answer. */
const forgetsAnswers = (store: Store): Store => ({
  ...store,
  isUp: () => store.isUp(),
  idempotency: { ...store.idempotency, answer: () => {}, release: () => {} },
  [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
})

/** Stores that outlive their server. */
async function place(kind: string) {
  if (kind === 'sqlite') return storePlace()
  const redis = await startRedis()
  return { url: redis.url, [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose]() }
}

const REQUESTS: readonly (readonly [path: string, body: object])[] = [
  ['send', { target_user_id: 'u', ...CONTENT }],
  ['send-to-users', { target_user_ids: ['u', 'v'], ...CONTENT }],
  [
    'batch',
    {
      notifications: [
        { target: { type: 'user', value: 'u' }, ...CONTENT },
        { target: { type: 'user', value: 'v' }, ...CONTENT, idempotency_key: 'own' },
      ],
    },
  ],
]

const idsOf = async (service: TestApp, user: string): Promise<string[]> =>
  (await service.get(`/api/v1/users/${user}/notifications`)).json.notifications.map(
    ({ id }: { id: string }) => id,
  )

test.each(['sqlite', 'redis'])(
  'a request whose process died between commit and answer is replayed on the first retry: %s',
  async kind => {
    await using where = await place(kind)
    const env = { QUEUE_ENABLED: 'true', STORE_URL: where.url }
    const retry = async (service: TestApp, [path, body]: (typeof REQUESTS)[number]) => {
      const { status, headers, json } = await service.post(`${AT}/${path}`, body, {
        'idempotency-key': `key-of-${path}`,
      })
      return { status, json, isReplay: headers.get('idempotency-replayed') }
    }
    const first: unknown[] = []
    {
      await using service = await startTestApp(env, { wrapStore: forgetsAnswers })
      await untilStoreIs(service, 'healthy')
      for (const request of REQUESTS) {
        const { status, isReplay, json } = await retry(service, request)
        expect([request[0], status, isReplay]).toEqual([request[0], 200, null])
        first.push(json)
      }
    }
    await using service = await startTestApp(env)
    await untilStoreIs(service, 'healthy')
    const before = [await idsOf(service, 'u'), await idsOf(service, 'v')]
    const idOf = (json: unknown) => JSON.stringify(json).match(/"notification_id":"[^"]+"/g)
    for (const [n, request] of REQUESTS.entries()) {
      const { status, isReplay, json } = await retry(service, request)
      expect([request[0], status, isReplay]).toEqual([request[0], 200, 'true'])
      expect(idOf(json)).toEqual(idOf(first[n]))
      const again = await retry(service, request)
      expect([again.isReplay, again.json]).toEqual(['true', json])
    }
    expect([await idsOf(service, 'u'), await idsOf(service, 'v')]).toEqual(before)
  },
  20_000,
)
