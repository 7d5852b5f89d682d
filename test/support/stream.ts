import type { Redis } from 'ioredis'
import type { Environment } from '../../src/config/config.ts'
import { startTestApp, type TestApp } from './app.ts'
import type { TestRedis } from './redis.ts'
import { untilRedisIs } from './trigger.ts'
import { eventually } from './visit.ts'

export const STREAM = 'orders'
export const GROUP = 'ara'

type TestOptions = Parameters<typeof startTestApp>[1]

/** Starts a service that reads the stream of this Redis or of the proxy before it. */
export async function startIngest(
  { port }: Pick<TestRedis, 'port'>,
  env: Environment = {},
  options: TestOptions = {},
): Promise<TestApp> {
  const app = await startTestApp(
    {
      REDIS_URL: `redis://127.0.0.1:${port}`,
      REDIS_STREAM: STREAM,
      QUEUE_ENABLED: 'true',
      QUEUE_MAX_SIZE_PER_USER: '100000',
      ...env,
    },
    options,
  )
  await untilRedisIs(app, ({ connected }) => connected)
  return app
}

/** Message to a user, as text. */
export const messageTo = (user: string, payload: unknown, more: object = {}): string =>
  JSON.stringify({ type: 'user', target: user, event: { event_type: 'e', payload }, ...more })

/** Adds an entry; returns its id. */
export async function add(client: Redis, data: string | Buffer | object, name = STREAM): Promise<string> {
  const value = typeof data === 'string' || Buffer.isBuffer(data) ? data : JSON.stringify(data)
  return String(await client.call('XADD', name, '*', 'data', value))
}

export interface DeadLetter {
  readonly id: string
  readonly data: string
  readonly reason: string
}

export async function deadLettersOf(client: Redis, name = STREAM): Promise<readonly DeadLetter[]> {
  const entries = await client.xrange(`${name}:dead`, '-', '+')
  return entries.map(([, [, data = '', , reason = '', , id = '']]) => ({ id, data, reason }))
}

/** Entries that were read and not acknowledged. */
export async function pendingOf(client: Redis, group = GROUP, name = STREAM): Promise<number> {
  const [count] = (await client.call('XPENDING', name, group)) as [number]
  return Number(count)
}

/** Whether the group has read and acknowledged everything. */
export async function isRead(client: Redis, group = GROUP, name = STREAM): Promise<boolean> {
  const groups = (await client.call('XINFO', 'GROUPS', name)) as unknown[][]
  const own = groups.find(fields => fields[1] === group) ?? []
  const field = (key: string) => own[own.indexOf(key) + 1]
  const unread = await client.xrange(name, `(${field('last-delivered-id')}`, '+', 'COUNT', 1)
  return field('pending') === 0 && unread.length === 0
}

export const untilRead = (client: Redis, withinMs = 15_000): Promise<void> =>
  eventually(() => isRead(client), withinMs)

/** Makes a consumer that reads entries and dies: returns their ids, which were last handled `idleMs` ago. */
export async function abandon(
  client: Redis,
  consumer: string,
  count: number,
  { idleMs, tries = 1 }: { readonly idleMs: number; readonly tries?: number },
): Promise<readonly string[]> {
  const command = ['GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', STREAM, '>'] as const
  const reply = (await client.call('XREADGROUP', ...command)) as [string, [string, string[]][]] | null
  const ids = (reply?.[1] ?? []).map(([id]) => id)
  const how = ['IDLE', idleMs, 'RETRYCOUNT', tries, 'JUSTID']
  if (ids.length > 0) await client.call('XCLAIM', STREAM, GROUP, consumer, 0, ...ids, ...how)
  return ids
}
