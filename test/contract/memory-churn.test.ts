import { expect, test } from 'bun:test'
import { type Topic, userTopic } from '../../src/notification/topic.ts'
import { PRIORITIES } from '../../src/protocol/values.ts'
import { memoryStore } from '../../src/store/memory/memory.ts'
import type { Draft } from '../../src/store/store.ts'
import { createRandom, type Random } from '../support/random.ts'
import { fakeClock, LIMITS, noting } from './store.contract.ts'

const OWNERS = Array.from({ length: 30 }, (_, n) => userTopic('acme', `user-${n}`))
const MAX_ENTRIES = 20
const MAX_REPORTS = 150
const RETENTION_MS = 4_000
const STEPS = 6_000

interface Kept {
  readonly draft: Draft
  readonly endsAt: number
}

/** Naive lists: the entries of each user, and the users of each notification. */
class Model {
  readonly logs = new Map<Topic, Kept[]>(OWNERS.map(owner => [owner, []]))
  readonly owners = new Map<string, Topic[]>()

  append(draft: Draft, now: number): void {
    const { owner, id, expiresAt = Number.POSITIVE_INFINITY } = draft
    const log = this.purge(owner, now)
    log.push({ draft, endsAt: Math.min(expiresAt, now + RETENTION_MS) })
    this.owners.set(id, [...(this.owners.get(id) ?? []), owner])
    if (log.length <= MAX_ENTRIES) return
    const lowest = PRIORITIES.find(each => log.some(({ draft: { priority } }) => priority === each))
    log.splice(
      log.findIndex(({ draft: { priority } }) => priority === lowest),
      1,
    )
  }

  purge(owner: Topic, now: number): Kept[] {
    const log = (this.logs.get(owner) ?? []).filter(({ endsAt }) => now <= endsAt)
    this.logs.set(owner, log)
    return log
  }

  /** Entries that logs retain, by notification id. */
  retained(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const log of this.logs.values())
      for (const { draft } of log) counts.set(draft.id, (counts.get(draft.id) ?? 0) + 1)
    return counts
  }
}

const uuid = ({ whole }: Random, n: number): string => {
  const hex = (length: number): string =>
    whole(0, 16 ** length - 1)
      .toString(16)
      .padStart(length, '0')
  return `${n.toString(16).padStart(8, '0')}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(6)}${hex(6)}`
}

function draftsOf(random: Random, n: number, now: number): Draft[] {
  const size = random.chance(0.02) ? random.whole(60_000, 300_000) : random.whole(0, 3_000)
  const body = `{"n":${n},"text":"${random.pick(['x', 'é', '語', '🙂', 'y'])}`.padEnd(
    size,
    random.pick(['.', 'ö']),
  )
  const priority = random.chance(0.1) ? 'Critical' : random.pick(PRIORITIES)
  const occurredAt = now
  const common = { id: uuid(random, n), body, eventType: `type-${n % 7}`, occurredAt, priority }
  const draft = random.chance(0.3) ? { ...common, expiresAt: now + random.whole(1, 2_000) } : common
  const count = random.chance(0.2) ? random.whole(2, 12) : 1
  const first = random.whole(0, OWNERS.length - 1)
  return Array.from({ length: count }, (_, k) => OWNERS[(first + k) % OWNERS.length] ?? '').flatMap(owner =>
    owner === '' ? [] : [{ ...draft, owner }],
  )
}

test('bodies stay whole and reports complete, whatever enters and leaves the logs', async () => {
  const seed = Date.now()
  console.log(`seed ${seed}`)
  const random = createRandom(seed)
  const clock = fakeClock()
  const limits = { ...LIMITS, maxEntries: MAX_ENTRIES, maxReports: MAX_REPORTS, retentionMs: RETENTION_MS }
  await using store = memoryStore({ limits, clock, observer: noting() })
  const { log } = store
  const model = new Model()

  const check = async (): Promise<void> => {
    for (const owner of OWNERS) {
      const { entries } = await log.read(owner, 0, { entries: 1_000, bytes: 1e9 })
      const expected = model.purge(owner, clock.time).map(({ draft }) => draft.body)
      expect(entries.map(({ body }) => body)).toEqual(expected)
    }
    const retained = model.retained()
    let departed = 0
    for (const [id, owners] of model.owners) {
      const report = await log.report('acme', id, { limit: 1_000 })
      if (report === undefined) expect(retained.get(id)).toBeUndefined()
      else expect(report.recipients.map(({ owner }) => owner)).toEqual(owners)
      if (report !== undefined && !retained.has(id)) departed += owners.length
    }
    expect(departed).toBeGreaterThan(0)
    expect(departed).toBeLessThanOrEqual(MAX_REPORTS)
  }

  for (let n = 0; n < STEPS; n++) {
    clock.time += random.whole(0, 5)
    const drafts = draftsOf(random, n, clock.time)
    await log.append(drafts)
    for (const draft of drafts) model.append(draft, clock.time)
    if (n % 1_000 === 999) await check()
  }
})
