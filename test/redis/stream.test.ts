import { afterAll, describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { StoreAway, StoreFull } from '../../src/errors.ts'
import { tenantOf } from '../../src/notification/topic.ts'
import type { Store } from '../../src/store/store.ts'
import forgetConsumers from '../../src/trigger/stream/forget-consumers.lua' with { type: 'text' }
import { startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { changesBy, scrape } from '../support/metrics.ts'
import { permit, startRedis, type TestRedis } from '../support/redis.ts'
import { logOf } from '../support/stored.ts'
import {
  abandon,
  add,
  deadLettersOf,
  GROUP,
  isRead,
  messageTo,
  pendingOf,
  STREAM,
  startIngest,
  untilRead,
} from '../support/stream.ts'
import { only, told, tracesOf } from '../support/traced.ts'
import { redisHealth, subscribed, untilRedisIs } from '../support/trigger.ts'
import { eventually, send, settle, socketOf, streamOf } from '../support/visit.ts'

const redis = await startRedis()
const client = redis.client()
const app = await startIngest(redis)
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await redis[Symbol.asyncDispose]()
})

const EVENT = { event_type: 'e', payload: null }
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
const linesOf = ({ lines }: TestApp, event: string) => lines.filter(line => line['event'] === event)

/** Adds one entry for each number in one write, to users `u0`, `u1` … in turn. */
async function addNumbers({ client: open }: TestRedis, count: number, users = 1, from = 0): Promise<void> {
  const pipeline = open().pipeline()
  for (const n of numbers(count)) {
    const data = messageTo(`u${n % users}`, from + n)
    pipeline.call('XADD', STREAM, '*', 'data', data)
  }
  await pipeline.exec()
}

/** A store whose appends a test decides about; `isUp` says the same to the watch. */
function brokenStore(fault: (tenant: string, body: string) => Error | undefined) {
  let isUp = true
  return {
    setUp: (is: boolean) => {
      isUp = is
    },
    wrapStore: (store: Store): Store => ({
      ...store,
      isUp: () => isUp && store.isUp(),
      log: {
        ...store.log,
        append: async drafts => {
          const [draft] = drafts
          if (!isUp) throw new StoreAway('away')
          const error = draft && fault(tenantOf(draft.owner), draft.body)
          if (error !== undefined) throw error
          return store.log.append(drafts)
        },
      },
    }),
  }
}

describe('An entry', () => {
  test('reaches its user with the stream as source and the time of its id, and is acknowledged', async () => {
    const name = crypto.randomUUID()
    using user = await socketOf(app, name)
    const payload = '{"b":1e400,"a":-0,"9":12345678901234567890}'
    const id = await add(
      client,
      `{"type":"user","target":"${name}","event":{"event_type":"paid","payload":${payload},"priority":"High","ttl":600}}`,
    )
    expect(await user.next()).toMatchObject({
      type: 'notification',
      event_type: 'paid',
      payload: JSON.parse(payload),
      occurred_at: new Date(Number(id.split('-')[0])).toISOString(),
      metadata: { source: `redis:${STREAM}`, priority: 'High', ttl: 600 },
      cursor: expect.stringMatching(/:1$/),
    })
    await untilRead(client)
  })

  test('with an id in the future has the time of the service', async () => {
    const name = `ahead-${crypto.randomUUID()}`
    await using ahead = await startIngest(redis, { REDIS_STREAM: name })
    using user = await socketOf(ahead, 'u')
    await client.call('XADD', name, '99999999999999999999-1', 'data', messageTo('u', 1)).catch(() => {})
    await client.call('XADD', name, '9999999999999-1', 'data', messageTo('u', 2))
    const { occurred_at, payload } = await user.next()
    expect(payload).toBe(2)
    expect(Math.abs(Date.parse(occurred_at) - Date.now())).toBeLessThan(5_000)
  })

  test('reaches users, channels and everyone, over WebSocket and SSE, and by a template', async () => {
    await app.post('/api/v1/templates', {
      id: 't',
      name: 'n',
      event_type: 'of.template',
      payload_template: { text: 'No {{no}}' },
    })
    const users = [crypto.randomUUID(), crypto.randomUUID()] as const
    using a = await subscribed(app, users[0], 'x')
    using b = await streamOf(app, users[1])
    await add(client, { type: 'users', target: users, event: { ...EVENT, payload: 1 } })
    await add(client, { type: 'channel', target: 'x', event: { ...EVENT, payload: 2 } })
    await add(client, { type: 'broadcast', event: { ...EVENT, payload: 3 } })
    await add(client, { type: 'users', target: users[0], event: { template_id: 't', variables: { no: 7 } } })
    const got = await a.take(4)
    expect(got.map(({ payload }) => payload)).toEqual([1, 2, 3, { text: 'No 7' }])
    for (const payload of [1, 3]) expect((await b.nextOf('notification')).data.payload).toBe(payload)
    await untilRead(client)
  })

  test('may have any other fields beside `data`', async () => {
    using user = await socketOf(app, 'fields')
    await client.call('XADD', STREAM, '*', 'a', 'data', 'data', messageTo('fields', 1), 'z', '{')
    expect((await user.next()).payload).toBe(1)
  })

  test('waits in the log of a user who is away, also with 5,000 in one write, in order', async () => {
    await using fresh = await startRedis()
    await using ingest = await startIngest(fresh)
    await addNumbers(fresh, 5_000, 5)
    await untilRead(fresh.client())
    for (const user of numbers(5)) {
      const all: number[] = []
      using reading = await socketOf(ingest, `u${user}`, { cursor: '' })
      await reading.nextOf('connected')
      for (const { payload } of await reading.take(1_000)) all.push(payload)
      expect(all).toEqual(numbers(1_000).map(n => n * 5 + user))
    }
    expect(ingest.app.stats.streamEntries).toEqual({ accepted: 5_000, retried: 0, dead: 0 })
  }, 30_000)

  test('with a known idempotency key has no effect, whether the first message came by stream, Pub/Sub or a moment ago', async () => {
    const name = crypto.randomUUID()
    using user = await socketOf(app, name)
    const keyed = messageTo(name, 1, { idempotency_key: `${name}-1` })
    await redis.publish('notification:user:any', keyed)
    await user.next()
    for (let n = 0; n < 3; n++) await add(client, keyed)
    const other = messageTo(name, 2, { idempotency_key: `${name}-2` })
    const pipeline = client.pipeline()
    for (let n = 0; n < 3; n++) pipeline.call('XADD', STREAM, '*', 'data', other)
    await pipeline.exec()
    await untilRead(client)
    expect((await settle(user)).map(({ payload }) => payload)).toEqual([2])
    expect(await logOf(app, name)).toEqual([1, 2])
  })

  test('that a group reads again, from the first one, is in the log once', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await using ingest = await startIngest(fresh)
    using user = await socketOf(ingest, 'u0')
    await addNumbers(fresh, 100)
    await untilRead(commands)
    await commands.call('XGROUP', 'SETID', STREAM, GROUP, '0')
    await untilRead(commands)
    await commands.call('XGROUP', 'DESTROY', STREAM, GROUP)
    await eventually(async () => (await isRead(commands).catch(() => false)) === true)
    await add(commands, messageTo('u0', 'last'))
    const got = await user.take(101)
    expect(got.map(({ payload }) => payload)).toEqual([...numbers(100), 'last'])
    expect(await settle(user)).toEqual([])
    expect(await logOf(ingest, 'u0')).toHaveLength(101)
  }, 20_000)
})

test('with tenants an entry reaches users of its tenant only', async () => {
  await using fresh = await startRedis()
  await using ingest = await startIngest(fresh, { TENANT_ENABLED: 'true' })
  using acme = await socketOf(ingest, 'u', { claims: { tenant_id: 'acme' } })
  using other = await socketOf(ingest, 'u')
  await add(fresh.client(), messageTo('u', 1, { tenant_id: 'acme' }))
  await add(fresh.client(), messageTo('u', 2))
  expect((await acme.next()).payload).toBe(1)
  expect((await other.next()).payload).toBe(2)
  expect([await settle(acme), await settle(other)]).toEqual([[], []])
})

test('with the log off an entry is acknowledged after its dispatch', async () => {
  await using fresh = await startRedis()
  await using ingest = await startIngest(fresh, { QUEUE_ENABLED: 'false' })
  using user = await socketOf(ingest, 'u')
  await add(fresh.client(), messageTo('u', 1))
  await add(fresh.client(), messageTo('nobody', 1))
  expect(await user.next()).not.toHaveProperty('cursor')
  await untilRead(fresh.client())
})

describe('A rejected entry', () => {
  const message = (more: object) => ({ type: 'user', target: 'poison', event: EVENT, ...more })
  const REJECTED: readonly [reason: string, data: string | Buffer | object][] = [
    ['invalid_json', '{'],
    ['invalid_json', ''],
    ['invalid_json', Buffer.from([0xff, 0xfe, 0x00])],
    ['invalid_shape: event.ttl: ', message({ event: { ...EVENT, ttl: -1 } })],
    ['invalid_shape: event.priority: ', message({ event: { ...EVENT, priority: null } })],
    ['unknown_type', message({ type: 'everyone' })],
    ['invalid_target', message({ target: '..' })],
    ['unknown_template', message({ event: { template_id: 'none' } })],
    ['variables', message({ event: { template_id: 'strict', variables: {} } })],
    ['too_large', message({ other: 'x'.repeat(2_000_000) })],
    ['too_large: event.payload: ', message({ event: { ...EVENT, payload: 'x'.repeat(65_535) } })],
    ['tenant: tenant_id: ', message({ tenant_id: 5 })],
    ['invalid_shape: idempotency_key: ', message({ idempotency_key: 'used' })],
  ]

  test('becomes a dead letter with data, reason and id, is acknowledged, and holds up no other', async () => {
    await app.post('/api/v1/templates', {
      id: 'strict',
      name: 'n',
      event_type: 'e',
      payload_template: '{{x}}',
      strict: true,
    })
    using user = await socketOf(app, 'poison')
    await add(client, messageTo('other', 1, { idempotency_key: 'used' }))
    await untilRead(client)
    const before = (await deadLettersOf(client)).length
    const sent: { readonly id: string; readonly data: string }[] = []
    for (const [, data] of REJECTED) {
      const text = typeof data === 'object' && !Buffer.isBuffer(data) ? JSON.stringify(data) : data
      sent.push({ id: await add(client, text), data: text.toString() })
    }
    await add(client, messageTo('poison', 'after'))
    expect((await user.next()).payload).toBe('after')
    await untilRead(client)
    const letters = (await deadLettersOf(client)).slice(before).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    expect(letters.map(({ id, data }) => ({ id, data }))).toEqual(sent)
    for (const [n, [reason]] of REJECTED.entries()) {
      const text = letters[n]?.reason ?? ''
      if (reason.endsWith(': ')) expect(text).toStartWith(reason)
      else expect(text.split(':')[0]).toBe(reason)
    }
    expect(app.app.stats.unhandledErrors).toBe(0)
  }, 20_000)

  test('counts, and its log line has the entry and the reason, without any content', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await using ingest = await startIngest(fresh)
    const secret = 'a-secret-that-nobody-may-read'
    let id = ''
    const changes = await changesBy(ingest, async () => {
      id = await add(commands, message({ event: { ...EVENT, ttl: secret, payload: secret }, [secret]: 1 }))
      await untilRead(commands)
    })
    expect(changes).toMatchObject({
      'ara_redis_stream_messages_total{result="dead"}': 1,
      'ara_redis_messages_rejected_total{reason="invalid_shape"}': 1,
    })
    expect(linesOf(ingest, 'redis.rejected')).toEqual([
      {
        level: 'warn',
        ts: expect.any(String),
        event: 'redis.rejected',
        stream: STREAM,
        entry: id,
        reason: 'invalid_shape',
        fault: { path: 'event.ttl', message: 'expected a whole number of seconds (got a string)' },
      },
    ])
    expect(JSON.stringify(ingest.lines)).not.toContain(secret)
    expect((await deadLettersOf(commands)).at(-1)?.reason).not.toContain(secret)
  })

  test('without the field `data` is a dead letter too', async () => {
    const id = String(await client.call('XADD', STREAM, '*', 'body', messageTo('u', 1)))
    await untilRead(client)
    expect((await deadLettersOf(client)).at(-1)).toEqual({
      id,
      data: '',
      reason: 'invalid_shape: data: expected a field of the entry',
    })
  })

  test('stays pending until its dead letter can be added', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await using ingest = await startIngest(fresh)
    await commands.set(`${STREAM}:dead`, 'not a stream')
    await add(commands, '{')
    await add(commands, messageTo('u', 1))
    await eventually(() => linesOf(ingest, 'stream.dead_letter_failed').length > 0)
    expect(linesOf(ingest, 'stream.dead_letter_failed')[0]).toMatchObject({
      stream: STREAM,
      reason: expect.stringContaining('WRONGTYPE'),
    })
    await eventually(async () => (await logOf(ingest, 'u')).length === 1)
    await eventually(async () => (await pendingOf(commands)) === 1)
    await commands.del(`${STREAM}:dead`)
    await untilRead(commands)
    expect((await deadLettersOf(commands)).map(({ reason }) => reason)).toEqual(['invalid_json'])
    expect(ingest.app.stats.redisMessagesRejected.invalid_json).toBe(1)
  }, 20_000)
})

describe('Pending entries', () => {
  test('of the same node are handled after a restart, in order and before new ones', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 300)
    expect(await abandon(commands, 'test', 200, { idleMs: 0 })).toHaveLength(200)
    await using ingest = await startIngest(fresh)
    await untilRead(commands)
    expect(await logOf(ingest, 'u0')).toEqual(numbers(300))
    expect(ingest.app.stats.streamEntries).toEqual({ accepted: 300, retried: 200, dead: 0 })
  }, 20_000)

  test('of a dead consumer are taken over after 30 s of idleness, and not before', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await using ingest = await startIngest(fresh)
    await ingest.app.drain()
    await addNumbers(fresh, 300)
    await abandon(commands, 'dead', 200, { idleMs: 31_000 })
    await abandon(commands, 'alive', 100, { idleMs: 5_000 })
    await using next = await startIngest(fresh, { NODE_ID: 'next' })
    await eventually(async () => (await pendingOf(commands)) === 100)
    await addNumbers(fresh, 1, 1, 300)
    await eventually(async () => (await logOf(next, 'u0')).length === 201)
    expect(await logOf(next, 'u0')).toEqual([...numbers(200), 300])
    expect(next.app.stats.streamEntries.retried).toBe(200)
    const claimed = linesOf(next, 'stream.claimed')
    expect(claimed.length).toBeGreaterThan(0)
    await eventually(async () => (await pendingOf(commands)) === 100)
  }, 20_000)

  test('that were deleted from the stream are acknowledged', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 10)
    const own = await abandon(commands, 'test', 5, { idleMs: 0 })
    const others = await abandon(commands, 'dead', 5, { idleMs: 60_000 })
    await commands.call('XDEL', STREAM, ...own.slice(0, 2), ...others.slice(3))
    await using ingest = await startIngest(fresh)
    await untilRead(commands)
    expect((await logOf(ingest, 'u0')).toSorted()).toEqual([2, 3, 4, 5, 6, 7])
    expect(linesOf(ingest, 'stream.entry_gone').map(({ entry }) => entry)).toEqual(own.slice(0, 2))
  })

  test('that five attempts could not handle become dead letters', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 3)
    const [four] = await abandon(commands, 'test', 1, { idleMs: 0, tries: 4 })
    const [five] = await abandon(commands, 'test', 1, { idleMs: 0, tries: 5 })
    const [nine] = await abandon(commands, 'dead', 1, { idleMs: 40_000, tries: 9 })
    await using ingest = await startIngest(fresh)
    await untilRead(commands)
    expect(await logOf(ingest, 'u0')).toEqual([0])
    expect(await deadLettersOf(commands)).toEqual([
      { id: String(five), data: messageTo('u0', 1), reason: 'fault: 5 attempts failed' },
      { id: String(nine), data: messageTo('u0', 2), reason: 'fault: 9 attempts failed' },
    ])
    expect(four).toBeDefined()
    expect(linesOf(ingest, 'stream.given_up').map(({ tries }) => tries)).toEqual([5, 9])
  })

  test('of consumers that are gone keep these, while idle consumers without any are forgotten', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 1)
    await abandon(commands, 'with-pending', 1, { idleMs: 0 })
    await abandon(commands, 'idle', 1, { idleMs: 0 })
    await commands.call('XGROUP', 'CREATECONSUMER', STREAM, GROUP, 'idle')
    await eventually(async () => {
      const found = (await commands.call('XINFO', 'CONSUMERS', STREAM, GROUP)) as unknown[][]
      return found.every(fields => Number(fields[5]) > 1)
    })
    await abandon(commands, 'busy', 1, { idleMs: 0 })
    expect(await commands.eval(forgetConsumers, 1, STREAM, GROUP, 3_600_000)).toBe(0)
    expect(await commands.eval(forgetConsumers, 1, STREAM, GROUP, 1)).toBeGreaterThanOrEqual(1)
    const left = (await commands.call('XINFO', 'CONSUMERS', STREAM, GROUP)) as unknown[][]
    expect(left.map(fields => fields[1])).toContain('with-pending')
    expect(left.map(fields => fields[1])).not.toContain('idle')
  })
})

describe('A defect', () => {
  test('of one entry is tried five times, logged with its stack, and ends as a dead letter; others pass', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    const broken = brokenStore((_, body) => (body.includes('"odd"') ? new Error('odd') : undefined))
    await using ingest = await startIngest(fresh, {}, { wrapStore: broken.wrapStore })
    await add(commands, messageTo('u', 'odd'))
    await add(commands, messageTo('u', 1))
    await untilRead(commands)
    expect(await logOf(ingest, 'u')).toEqual([1] as never)
    expect((await deadLettersOf(commands)).map(({ reason }) => reason)).toEqual(['fault: 5 attempts failed'])
    expect(ingest.app.stats.streamEntries).toEqual({ accepted: 1, retried: 4, dead: 1 })
    expect(linesOf(ingest, 'redis.fault')).toHaveLength(5)
    expect(linesOf(ingest, 'redis.fault')[0]).toMatchObject({ source: `redis:${STREAM}` })
    expect(ingest.app.stats.unhandledErrors).toBe(5)
  }, 20_000)
})

describe('While the store is away', () => {
  test('reading pauses, no attempt counts, and all entries follow once and in order', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    const broken = brokenStore(() => undefined)
    await using ingest = await startIngest(fresh, {}, { wrapStore: broken.wrapStore })
    using user = await socketOf(ingest, 'u0')
    await addNumbers(fresh, 100)
    await user.take(100)
    broken.setUp(false)
    await addNumbers(fresh, 1_000, 1, 100)
    await eventually(() => linesOf(ingest, 'store.lost').length > 0)
    const pending = await pendingOf(commands)
    expect(pending).toBeLessThan(600)
    const rows = (await commands.call('XPENDING', STREAM, GROUP, '-', '+', 1_000)) as unknown[][]
    for (const [, , , tries] of rows) expect(Number(tries)).toBeLessThanOrEqual(1)
    expect(ingest.app.stats.redisMessagesRejected.store).toBe(0)
    broken.setUp(true)
    expect((await user.take(1_000)).map(({ payload }) => payload)).toEqual(numbers(1_000).map(n => n + 100))
    await untilRead(commands)
    expect(ingest.app.stats.streamEntries).toEqual({ accepted: 1_100, retried: 0, dead: 0 })
    expect(await deadLettersOf(commands)).toEqual([])
  }, 30_000)

  test('a service that starts reads nothing', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 10)
    const broken = brokenStore(() => undefined)
    broken.setUp(false)
    await using ingest = await startIngest(fresh, {}, { wrapStore: broken.wrapStore })
    await eventually(() => linesOf(ingest, 'store.lost').length > 0)
    expect(await pendingOf(commands)).toBe(0)
    broken.setUp(true)
    await untilRead(commands)
    expect(await logOf(ingest, 'u0')).toEqual(numbers(10))
  }, 20_000)

  test('a drain leaves what was read, and another node handles it at once', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    const broken = brokenStore(() => undefined)
    await using ingest = await startIngest(fresh, {}, { wrapStore: broken.wrapStore })
    let isFirst = true
    await using line = await startIngest(
      fresh,
      { NODE_ID: 'late' },
      {
        wrapStore: store => ({ ...store, isUp: () => !isFirst && store.isUp() }),
      },
    )
    await addNumbers(fresh, 10)
    await untilRead(commands)
    let refuse = true
    await using failing = await startIngest(
      fresh,
      { NODE_ID: 'failing' },
      {
        wrapStore: store => ({
          ...store,
          log: {
            ...store.log,
            append: () => (refuse ? Promise.reject(new StoreAway('x')) : Promise.resolve([])),
          },
        }),
      },
    )
    await ingest.app.drain()
    await addNumbers(fresh, 10, 1, 10)
    await eventually(() => linesOf(failing, 'stream.paused').length > 0)
    const left = await pendingOf(commands)
    expect(left).toBeGreaterThan(0)
    await failing.app.drain()
    refuse = false
    isFirst = false
    await untilRead(commands, 5_000)
    expect(await logOf(line, 'u0')).toEqual(numbers(10).map(n => n + 10))
  }, 30_000)
})

describe('Full logs', () => {
  test('of one tenant let its entries wait, in order, and hold up no other tenant', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    let isFull = true
    const broken = brokenStore(tenant => (isFull && tenant === 'full' ? new StoreFull('full') : undefined))
    await using ingest = await startIngest(fresh, { TENANT_ENABLED: 'true' }, { wrapStore: broken.wrapStore })
    const pipeline = commands.pipeline()
    for (const n of numbers(1_500))
      for (const tenant_id of ['full', 'other'])
        pipeline.call('XADD', STREAM, '*', 'data', messageTo('u', n, { tenant_id }))
    await pipeline.exec()
    const logOfTenant = async (tenant: string): Promise<number[]> => {
      const all: number[] = []
      for (let after = ''; ; ) {
        const { json } = await ingest.get(`/api/v1/users/u/notifications?limit=1000${after}`, {
          'x-tenant-id': tenant,
        })
        all.push(...json.notifications.map(({ payload }: { payload: number }) => payload))
        if (!json.has_more) return all
        after = `&after=${encodeURIComponent(json.cursor)}`
      }
    }
    await eventually(async () => (await logOfTenant('other')).length === 1_500)
    await eventually(async () => (await pendingOf(commands)) === 1_500)
    expect(linesOf(ingest, 'stream.paused')).toMatchObject([
      { stream: STREAM, code: 'STORE_FULL', tenant: 'full' },
    ])
    isFull = false
    await untilRead(commands)
    expect(await logOfTenant('full')).toEqual(numbers(1_500))
    expect(await logOfTenant('other')).toEqual(numbers(1_500))
    expect(linesOf(ingest, 'stream.resumed')).toMatchObject([{ stream: STREAM, tenant: 'full' }])
    expect(ingest.app.stats.streamEntries).toEqual({ accepted: 3_000, retried: 0, dead: 0 })
  }, 30_000)
})

test('an entry that the store refuses again and again holds up no other', async () => {
  await using fresh = await startRedis()
  const commands = fresh.client()
  let isStuck = true
  const broken = brokenStore((_, body) =>
    isStuck && body.includes('"stuck"') ? new StoreAway('this one never fits') : undefined,
  )
  await using ingest = await startIngest(fresh, {}, { wrapStore: broken.wrapStore })
  await add(commands, messageTo('u', 'stuck'))
  await addNumbers(fresh, 200)
  await eventually(async () => (await logOf(ingest, 'u0')).length === 200, 20_000)
  expect(await logOf(ingest, 'u0')).toEqual(numbers(200))
  await eventually(async () => (await pendingOf(commands)) === 1)
  const [stuck] = await commands.xrange(STREAM, '-', '+', 'COUNT', 1)
  expect(linesOf(ingest, 'stream.entry_refused')).toMatchObject([{ stream: STREAM, entry: stuck?.[0] }])
  isStuck = false
  await untilRead(commands)
  expect(await logOf(ingest, 'u')).toEqual(['stuck'] as never)
  expect(await deadLettersOf(commands)).toEqual([])
}, 30_000)

describe('The reader goes on', () => {
  const VANISHING: readonly [what: string, vanish: (redis: TestRedis) => Promise<unknown>][] = [
    ['after DEL of the stream', ({ client: open }) => open().del(STREAM)],
    ['after FLUSHALL', ({ client: open }) => open().flushall()],
    ['after the group is destroyed', ({ client: open }) => open().call('XGROUP', 'DESTROY', STREAM, GROUP)],
    ['after XTRIM', ({ client: open }) => open().call('XTRIM', STREAM, 'MAXLEN', 0)],
    [
      'after a restart of an empty Redis',
      async server => {
        await server.kill()
        await server.restart()
      },
    ],
  ]
  test.each(VANISHING)(
    '%s',
    async (_, vanish) => {
      await using fresh = await startRedis()
      await using ingest = await startIngest(fresh)
      using user = await socketOf(ingest, 'u')
      await add(fresh.client(), messageTo('u', 1))
      expect((await user.next()).payload).toBe(1)
      await untilRead(fresh.client())
      await vanish(fresh)
      await add(fresh.client(), messageTo('u', 2))
      expect((await user.next()).payload).toBe(2)
      await eventually(async () => await isRead(fresh.client()).catch(() => false))
      expect(await settle(user)).toEqual([])
    },
    20_000,
  )

  test('after Redis was frozen, and health shows it within 3 s', async () => {
    await using fresh = await startRedis()
    await using ingest = await startIngest(fresh)
    fresh.freeze()
    expect(await untilRedisIs(ingest, ({ connected }) => !connected)).toBeLessThan(3_300)
    fresh.thaw()
    expect(await untilRedisIs(ingest, ({ connected }) => connected)).toBeLessThan(15_000)
    await add(fresh.client(), messageTo('u', 1))
    await untilRead(fresh.client())
    expect(await logOf(ingest, 'u')).toEqual([1])
  }, 30_000)

  test('once the name belongs to a stream again; until then health and one log line name the reason', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.set(STREAM, 'not a stream')
    await using ingest = await startTestApp({
      REDIS_URL: fresh.url,
      REDIS_STREAM: STREAM,
      QUEUE_ENABLED: 'true',
    })
    await eventually(() => linesOf(ingest, 'redis.unavailable').length > 0)
    expect(linesOf(ingest, 'redis.unavailable')).toMatchObject([
      { stream: STREAM, reason: expect.stringContaining('WRONGTYPE') },
    ])
    expect(await redisHealth(ingest)).toEqual({ status: 'reconnecting', connected: false })
    await commands.del(STREAM)
    await untilRedisIs(ingest, ({ connected }) => connected)
    await add(commands, messageTo('u', 1))
    await untilRead(commands)
    await commands.del(STREAM)
    await commands.set(STREAM, 'not a stream')
    await untilRedisIs(ingest, ({ connected }) => !connected)
    expect(linesOf(ingest, 'redis.lost').at(-1)).toMatchObject({
      reason: expect.stringContaining('WRONGTYPE'),
    })
  }, 20_000)
})

test('without Redis the service starts, and reads when Redis appears', async () => {
  await using fresh = await startRedis()
  await fresh.kill()
  await using ingest = await startTestApp({
    REDIS_URL: fresh.url,
    REDIS_STREAM: STREAM,
    QUEUE_ENABLED: 'true',
  })
  expect((await send(ingest, 'u', 1)).status).toBe('queued')
  expect((await ingest.get('/health/ready')).status).toBe(200)
  await fresh.restart()
  await untilRedisIs(ingest, ({ connected }) => connected)
  await add(fresh.client(), messageTo('u', 2))
  await untilRead(fresh.client())
  expect(await logOf(ingest, 'u')).toEqual([1, 2])
}, 20_000)

test('the documented permissions are enough, and without those for old consumers the service reads too', async () => {
  await using fresh = await startRedis()
  const commands = fresh.client()
  await permit(commands, 'ara', 'subscribe')
  await permit(commands, 'ara', 'xreadgroup')
  await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
  await addNumbers(fresh, 3)
  await abandon(commands, 'test', 1, { idleMs: 0 })
  await abandon(commands, 'dead', 1, { idleMs: 60_000 })
  await commands.del(`${STREAM}:dead`)
  for (const lacking of ['+eval', '-eval']) {
    await commands.call('ACL', 'SETUSER', 'ara', lacking)
    const url = fresh.url.replace('//', '//ara:secret@')
    await using ingest = await startTestApp({ REDIS_URL: url, REDIS_STREAM: STREAM, QUEUE_ENABLED: 'true' })
    await add(commands, '{')
    await untilRedisIs(ingest, ({ connected }) => connected)
    await untilRead(commands)
    expect(ingest.lines.filter(({ level, event }) => level === 'warn' && event !== 'redis.rejected')).toEqual(
      [],
    )
    // Else its last read may take the next entry.
    await ingest.app.drain()
  }
  expect(await deadLettersOf(commands)).toHaveLength(2)
}, 20_000)

test('a drain reads nothing more and acknowledges what was read', async () => {
  await using fresh = await startRedis()
  const commands = fresh.client()
  await using ingest = await startIngest(fresh, { DRAIN_SECONDS: '2' })
  using _ = await socketOf(ingest, 'u')
  await addNumbers(fresh, 2_000)
  const drained = ingest.app.drain()
  await drained
  expect(await pendingOf(commands)).toBe(0)
  const { accepted } = ingest.app.stats.streamEntries
  await using next = await startIngest(fresh, { NODE_ID: 'next' })
  await untilRead(commands)
  expect(accepted + next.app.stats.streamEntries.accepted).toBe(2_000)
}, 20_000)

test('an entry under way stays with its node, however long it takes', async () => {
  await using fresh = await startRedis()
  const commands = fresh.client()
  const clock = createTestClock()
  const { promise, resolve } = Promise.withResolvers<void>()
  await using ingest = await startIngest(
    fresh,
    {},
    {
      clock,
      wrapStore: store => ({
        ...store,
        log: { ...store.log, append: drafts => promise.then(() => store.log.append(drafts)) },
      }),
    },
  )
  const id = await add(commands, messageTo('u', 1))
  await eventually(async () => (await pendingOf(commands)) === 1)
  await commands.call('XCLAIM', STREAM, GROUP, 'test', 0, id, 'IDLE', 29_000, 'JUSTID')
  clock.jump(11)
  await eventually(async () => {
    const [[, , idle]] = (await commands.call('XPENDING', STREAM, GROUP, '-', '+', 1)) as [
      [string, string, number],
    ]
    return idle < 10_000
  })
  resolve()
  await untilRead(commands)
  expect(ingest.app.stats.streamEntries).toEqual({ accepted: 1, retried: 0, dead: 0 })
}, 20_000)

describe('Metrics and traces', () => {
  test('show accepted, retried, dead and pending entries', async () => {
    await using fresh = await startRedis()
    const commands = fresh.client()
    await commands.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    await addNumbers(fresh, 5)
    await abandon(commands, 'test', 1, { idleMs: 0 })
    await abandon(commands, 'alive', 3, { idleMs: 0 })
    await using ingest = await startIngest(fresh)
    await add(commands, '{')
    await eventually(async () => (await pendingOf(commands)) === 3)
    await eventually(async () => (await scrape(ingest)).value('ara_redis_stream_pending') === 3)
    const { value } = await scrape(ingest)
    const results = ['accepted', 'retried', 'dead'].map(result =>
      value(`ara_redis_stream_messages_total{result="${result}"}`),
    )
    expect(results).toEqual([2, 1, 1])
    expect(value('ara_redis_messages_received_total')).toBe(0)
    expect(value('ara_messages_sent_total{target="user"}')).toBe(2)
  }, 20_000)

  test('an entry is a span, with the parent it names, and its dispatch is a child span', async () => {
    await using fresh = await startRedis()
    const trace = '0af7651916cd43dd8448eb211c80319c'
    let id = ''
    const env: Environment = { REDIS_URL: fresh.url, REDIS_STREAM: STREAM, QUEUE_ENABLED: 'true' }
    const spans = await tracesOf(async ingest => {
      await untilRedisIs(ingest, ({ connected }) => connected)
      const traceparent = `00-${trace}-b7ad6b7169203331-01`
      id = await add(fresh.client(), messageTo('u', 'the-payload-61', { traceparent }))
      await untilRead(fresh.client())
      await add(fresh.client(), '{')
      await untilRead(fresh.client())
    }, env)
    const [heard, rejected] = spans.filter(({ name }) => name === 'stream.message')
    if (heard === undefined || rejected === undefined) throw new Error('expected two spans')
    expect(told(heard)).toEqual({
      name: 'stream.message',
      kind: 'consumer',
      failed: false,
      attributes: {
        'messaging.system': 'redis',
        'ara.stream': STREAM,
        'ara.entry': id,
        'ara.outcome': 'accepted',
      },
    })
    expect(heard.traceId).toBe(trace)
    expect(only(spans, 'dispatch').parentId).toBe(heard.spanId)
    expect(told(rejected)).toMatchObject({ failed: true, attributes: { 'ara.outcome': 'invalid_json' } })
    expect(JSON.stringify(spans)).not.toContain('the-payload-61')
  }, 20_000)
})
