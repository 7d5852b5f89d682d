import { expect, test } from 'bun:test'
import { createServerClient } from '../../client/src/server/index.ts'
import { API_KEY, startTestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startCuttingLine } from '../support/cutting-line.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { storePlace } from '../support/store-file.ts'
import { settle, socketOf } from '../support/visit.ts'

/** CUTS_SEED=n plays that seed only. */
const pinned = process.env['CUTS_SEED']
const SEEDS = pinned === undefined ? [1, 2] : [Number(pinned)]
const CALLS = 150
const IN_FLIGHT = 6
/** About four requests. */
const MAX_BYTES = 2_000
const TEST_MS = 60_000

const memoryPlace = async () => ({ url: 'memory:', [Symbol.asyncDispose]: async () => {} })

const item = (no: number) =>
  ({ target: { type: 'user', value: 'ann' }, event_type: 'e', payload: no }) as const

/** Sends over a line that breaks; resolves with what a connected client received for each number. */
async function play(storeUrl: string, seed: number) {
  await using service = await startTestApp({
    QUEUE_ENABLED: 'true',
    STORE_URL: storeUrl,
    LOG_LEVEL: 'error',
    QUEUE_MAX_SIZE_PER_USER: '2000',
  })
  const random = createRandom(seed)
  await using line = await startCuttingLine(service.port, random, MAX_BYTES)
  const ara = createServerClient({
    url: `http://127.0.0.1:${line.port}`,
    apiKey: API_KEY,
    retries: 200,
    deadline: 2 ** 31 - 1,
    sleep: () => Bun.sleep(1),
  })
  using ann = await socketOf(service, 'ann')
  ann.send({ type: 'Subscribe', payload: { channels: ['room'] } })
  await ann.nextOf('subscribed')

  let sent = 0
  const next = () => ({ event_type: 'e', payload: sent++ })
  const calls: readonly [() => Promise<unknown>, ...(() => Promise<unknown>)[]] = [
    () => ara.user('ann', next()),
    () => ara.users(['ann', 'bob'], next()),
    () => ara.channel('room', next()),
    () => ara.channels(['room', 'hall'], next()),
    () => ara.broadcast(next()),
    () => ara.batch([item(sent++), item(sent++), { target: { type: 'channel', value: 'room' }, ...next() }]),
  ]
  const rejected: unknown[] = []
  let left = CALLS
  const work = async (): Promise<void> => {
    while (left-- > 0)
      await random
        .pick(calls)()
        .catch(error => rejected.push(error))
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))

  // An entry that arrives out of turn is read from the log, so the pong of a Ping may overtake it.
  await service.post('/api/v1/notifications/send', { target_user_id: 'ann', event_type: 'last', payload: 0 })
  const messages: Message[] = []
  while (messages.at(-1)?.event_type !== 'last') messages.push(await ann.nextOf('notification'))
  messages.push(...(await settle(ann)))
  const times = new Map<unknown, number>()
  for (const { event_type: type, payload } of messages)
    if (type === 'e') times.set(payload, (times.get(payload) ?? 0) + 1)
  const numbers = Array.from({ length: sent }, (_, no) => no)
  return {
    cuts: line.cuts,
    outcome: {
      rejected,
      lost: numbers.filter(no => !times.has(no)),
      repeated: numbers.filter(no => (times.get(no) ?? 0) > 1),
      phantom: [...times.keys()].filter(no => Number(no) >= sent),
    },
  }
}

for (const [store, open] of Object.entries({ memory: memoryPlace, sqlite: storePlace, redis: startRedis }))
  for (const seed of SEEDS)
    test(
      `over connections that break at any byte every call succeeds and sends once (${store}, CUTS_SEED=${seed})`,
      async () => {
        await using place = await open()
        const { cuts, outcome } = await play(place.url, seed)
        expect(outcome).toEqual({ rejected: [], lost: [], repeated: [], phantom: [] })
        expect(Math.min(cuts.requests, cuts.answers)).toBeGreaterThan(10)
      },
      TEST_MS,
    )
