import { stat } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { loadConfig } from '../../src/config/config.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { openStore } from '../../src/store/open.ts'
import type { Draft } from '../../src/store/store.ts'
import { openPlace, type StoreKind } from './place.ts'

/** `bun test/bench/stored.ts <memory|sqlite|redis>` measures the bytes per stored notification of 200 bytes payload. */

const USERS = 2_000
const EACH = 100
const PAYLOAD = 'x'.repeat(200)

const KINDS: readonly StoreKind[] = ['memory', 'sqlite', 'redis']
const kind = KINDS.find(name => name === process.argv[2])
if (kind === undefined) throw new Error('which store? memory, sqlite or redis')

function draftOf(owner: Draft['owner']): Draft {
  const id = crypto.randomUUID()
  const occurredAt = Date.now()
  // Make a separate text for each, as clients receive it.
  const body = JSON.stringify({
    type: 'notification',
    id,
    occurred_at: new Date(occurredAt).toISOString(),
    event_type: 'order.shipped',
    payload: { text: PAYLOAD },
    metadata: { source: 'http-api', priority: 'Normal' },
  })
  return { owner, id, occurredAt, eventType: 'order.shipped', priority: 'Normal', body: body.slice(0, -1) }
}

/** Resident memory once all garbage was given back: the least of two seconds. */
async function residentBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 20; round++) {
    Bun.gc(true)
    least = Math.min(least, process.memoryUsage.rss())
    await Bun.sleep(100)
  }
  return least
}

async function redisBytes(url: string): Promise<number> {
  const client = new Redis(url)
  const info = await client.info('memory')
  client.disconnect()
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1])
}

await using place = await openPlace(kind)
const ignore = (): void => {}
const observer = { tracked: ignore, acked: ignore, gaveUp: ignore, left: ignore, resumed: ignore }
const { config: settings } = loadConfig({ STORE_URL: place.url, STORE_SYNC: 'normal' })
const store = await openStore({
  settings,
  clock: systemClock,
  observer,
  onAway: ignore,
  onWarning: ignore,
  onFault: ignore,
})
while (!store.isUp()) await Bun.sleep(10)

/** Measures the bytes added to the storage. */
async function bytesTaken(): Promise<number> {
  if (kind === 'memory') return await residentBytes()
  if (kind === 'redis') return await redisBytes(place.url)
  // Close the store, so that all data is in one file.
  await store[Symbol.asyncDispose]()
  return (await stat(place.url.slice('sqlite:'.length))).size
}

let texts = 0
async function pass(take: (drafts: readonly Draft[]) => unknown): Promise<void> {
  texts = 0
  for (let n = 0; n < EACH; n++) {
    const drafts = Array.from({ length: USERS }, (_, user) => draftOf(userTopic('default', `user-${user}`)))
    texts += drafts.reduce((sum, { body }) => sum + body.length, 0)
    await take(drafts)
  }
}

// Code and garbage of the drafts take memory too, and are not counted.
if (kind === 'memory') await pass(() => {})
const before = kind === 'sqlite' ? 0 : await bytesTaken()
await pass(drafts => store.log.append(drafts))
const taken = (await bytesTaken()) - before
if (kind !== 'sqlite') await store[Symbol.asyncDispose]()
const each = (bytes: number): number => Math.round(bytes / (USERS * EACH))
console.log(`${kind}: ${each(taken)} bytes per notification, of which text ${each(texts)}`)
