import { afterAll, describe, expect, test } from 'bun:test'
import { systemClock } from '../../src/lib/time/clock.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { parsePush } from '../../src/store/push.ts'
import { redisStore } from '../../src/store/redis/redis.ts'
import { startRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'
import { draft, fakeClock, LIMITS, noting } from './store.contract.ts'

const SETTINGS = {
  redisCircuitBreakerFailureThreshold: 5,
  redisCircuitBreakerSuccessThreshold: 2,
  redisCircuitBreakerResetTimeoutSeconds: 30,
  redisBackoffInitialDelayMs: 100,
  redisBackoffMaxDelayMs: 30_000,
}
const ANN = userTopic('acme', 'ann')
const TIMEOUT_MS = 30_000

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())

/** Two nodes on one empty Redis, with one clock, and the messages that subscribers of its channels got. */
async function start() {
  await redis.client().flushall()
  const clock = fakeClock()
  let calls = 0
  const node = async () => {
    const store = redisStore({
      address: { hosts: [{ host: '127.0.0.1', port: redis.port }], tls: false, db: 0 },
      settings: SETTINGS,
      replicas: 0,
      limits: { ...LIMITS, acknowledged: true, maxEntries: 10_000 },
      clock: systemClock,
      testTime: clock.now,
      observer: noting(),
      pushSource: {
        channelOf: owner => `channel of ${owner}`,
        begin: () => ++calls,
        headOf: id => `push me ${id}`,
        share: (tenant, id, body) => ({ channel: 'all', message: `${tenant} ${id} ${body}` }),
      },
    })
    await eventually(store.isUp)
    return store
  }
  const stores = [await node(), await node()] as const
  return {
    clock,
    stores,
    [Symbol.asyncDispose]: async () => {
      for (const store of stores) await store[Symbol.asyncDispose]()
    },
  }
}

async function subscribe(how: 'subscribe' | 'psubscribe', ...channels: readonly string[]) {
  const client = redis.client()
  const messages: (readonly [channel: string, text: string])[] = []
  client.on('message', (channel, text) => void messages.push([channel, text]))
  await client[how](...channels)
  return { messages, [Symbol.dispose]: () => client.disconnect() }
}

const stateOf = async (store: ReturnType<typeof redisStore>, id: string): Promise<string> => {
  const report = await store.log.report('acme', id, { limit: 10 })
  return report?.recipients.map(({ state, attempts }) => `${state} ${attempts}`).join() ?? 'unknown'
}

describe('redis: several nodes', () => {
  test('an append publishes the entry to the subscribers of its user, and counts them', async () => {
    await using nodes = await start()
    const [a] = nodes.stores
    using first = await subscribe('subscribe', `channel of ${ANN}`)
    using second = await subscribe('subscribe', `channel of ${ANN}`)
    const acceptedAt = performance.now() - 40
    const given = draft('n', { owner: ANN, acceptedAt })
    const [appended] = await a.log.append([given])
    expect(appended).toEqual({
      cursor: { epoch: expect.any(String), seq: 1 },
      repeated: false,
      push: { id: 1, nodes: 2 },
    })
    await eventually(() => first.messages.length === 1 && second.messages.length === 1)
    const [[channel, message] = ['', '']] = first.messages
    const end = message.indexOf('\n')
    expect([channel, message.slice(0, end)]).toEqual([`channel of ${ANN}`, 'push me 1'])
    const { elapsedMs, ...pushed } = parsePush(message.slice(end + 1))
    expect<unknown>(pushed).toEqual({
      cursor: appended?.cursor,
      repeated: false,
      acceptedAt: Math.round(acceptedAt * 10) / 10,
      body: given.body,
    })
    expect(elapsedMs).toBeGreaterThanOrEqual(40)
  })

  test('a repeated append publishes the entry again, as known', async () => {
    await using nodes = await start()
    const [a, b] = nodes.stores
    await a.log.append([draft('n')])
    using listener = await subscribe('subscribe', `channel of ${ANN}`)
    expect(await b.log.append([draft('n')])).toMatchObject([{ repeated: true, push: { id: 2, nodes: 1 } }])
    await eventually(() => listener.messages.length === 1)
    const [[, message] = ['', '']] = listener.messages
    expect(parsePush(message.slice(message.indexOf('\n') + 1))).toMatchObject({ repeated: true })
  })

  test('pattern subscribers count for nothing, and nothing is published for them alone', async () => {
    await using nodes = await start()
    using _ = await subscribe('psubscribe', '*')
    expect((await nodes.stores[0].log.append([draft('n')]))[0]).not.toHaveProperty('push')
  })

  test('a body that users share is published once, before the entries that refer to it', async () => {
    await using nodes = await start()
    const owners = Array.from({ length: 500 }, (_, n) => userTopic('acme', `u${n}`))
    using listener = await subscribe('subscribe', 'all', ...owners.map(owner => `channel of ${owner}`))
    const body = `{"long":"${'x'.repeat(2_000)}"`
    const appended = await nodes.stores[0].log.append(owners.map(owner => draft('n', { owner, body })))
    expect(appended.every(({ push }) => push?.nodes === 1)).toBe(true)
    await eventually(() => listener.messages.length === 501)
    expect(listener.messages[0]).toEqual(['all', `acme n ${body}`])
    expect(listener.messages.filter(([, text]) => text.includes('xxx'))).toHaveLength(1)
  })

  test('a live delivery by two nodes counts once, a replay counts again', async () => {
    await using nodes = await start()
    const [a, b] = nodes.stores
    const [{ cursor } = { cursor: { epoch: '', seq: 0 } }] = await a.log.append([draft('n')])
    a.log.handed(ANN, cursor.epoch, [1], true)
    b.log.handed(ANN, cursor.epoch, [1], true)
    await eventually(async () => (await stateOf(a, 'n')) === 'sent 1')
    await b.log.read(ANN, 0, { entries: 1, bytes: 1_000 })
    expect(await stateOf(a, 'n')).toBe('sent 1')
    b.log.handed(ANN, cursor.epoch, [1])
    expect(await stateOf(b, 'n')).toBe('sent 2')
  })

  test('two nodes redeliver an entry once per time to acknowledge, up to the limit, then give it up', async () => {
    await using nodes = await start()
    const { clock } = nodes
    const [a, b] = nodes.stores
    const [{ cursor } = { cursor: { epoch: '', seq: 0 } }] = await a.log.append([draft('n')])
    a.log.handed(ANN, cursor.epoch, [1], true)
    const ask = (store: typeof a) => store.acks.redeliver(ANN, cursor, 3, TIMEOUT_MS)
    expect(await ask(a)).toEqual({ dueInMs: TIMEOUT_MS })
    clock.time += TIMEOUT_MS
    expect(await ask(b)).toMatchObject({ redelivered: 1 })
    clock.time += 5
    expect(await ask(a)).toEqual({ dueInMs: TIMEOUT_MS - 5 })
    clock.time += TIMEOUT_MS - 5
    expect(await ask(a)).toMatchObject({ redelivered: 2 })
    expect(await ask(b)).toEqual({ dueInMs: TIMEOUT_MS })
    clock.time += TIMEOUT_MS
    expect(await ask(b)).toBeUndefined()
    expect(await stateOf(a, 'n')).toBe('expired 3')
  })
})
