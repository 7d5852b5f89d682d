import { systemClock } from '../../src/lib/time/clock.ts'
import { type Topic, userTopic } from '../../src/notification/topic.ts'
import { memoryStore } from '../../src/store/memory/memory.ts'
import type { Draft } from '../../src/store/store.ts'

/**
 * `bun test/support/kept-memory.ts <limit>` keeps 100,000 notifications of 200 bytes payload in memory and prints the
 * resident bytes of each. Garbage does not count: it waits until the bytes are below the limit, for at most 10 s.
 */

const USERS = 1_000
const EACH = 100
const PAYLOAD = 'x'.repeat(200)
const DAY = 86_400_000
const ROUNDS = 100
const ROUND_MS = 100

const ignore = (): void => {}
const store = memoryStore({
  limits: {
    maxEntries: EACH,
    retentionMs: DAY,
    cleanupMs: DAY,
    acknowledged: false,
    maxReports: 100_000,
    maxBytes: 0,
    tenantMaxBytes: 0,
    maxRevocations: 1,
    idempotencyTtlMs: DAY,
  },
  clock: systemClock,
  observer: { tracked: ignore, acked: ignore, gaveUp: ignore, left: ignore, resumed: ignore },
})

function draftOf(owner: Topic): Draft {
  const id = crypto.randomUUID()
  const occurredAt = Date.now()
  const body =
    `{"type":"notification","id":"${id}","occurred_at":"${new Date(occurredAt).toISOString()}",` +
    `"event_type":"order.shipped","payload":{"text":"${PAYLOAD}"},"metadata":{"source":"http-api","priority":"Normal"}`
  return { owner, id, occurredAt, eventType: 'order.shipped', priority: 'Normal', body }
}

async function pass(take: (draft: Draft) => unknown): Promise<void> {
  for (let n = 0; n < EACH; n++)
    for (let user = 0; user < USERS; user++) await take(draftOf(userTopic('default', `user-${user}`)))
}

function residentBytes(): number {
  Bun.gc(true)
  return process.memoryUsage.rss()
}

// Makes as much garbage as the appends.
let characters = 0
await pass(({ body }) => {
  characters += body.length
})
let before = Number.POSITIVE_INFINITY
for (let round = 0; round < ROUNDS / 10; round++) {
  before = Math.min(before, residentBytes())
  await Bun.sleep(ROUND_MS)
}
await pass(draft => store.log.append([draft]))
const limit = Number(process.argv[2])
let each = Number.POSITIVE_INFINITY
for (let round = 0; round < ROUNDS && each > limit; round++) {
  await Bun.sleep(ROUND_MS)
  each = Math.min(each, (residentBytes() - before) / (USERS * EACH))
}
const { messages } = await store.log.totals()
console.log(JSON.stringify({ each: Math.round(each), text: characters / (USERS * EACH), messages }))
process.exit(0)
