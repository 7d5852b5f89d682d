import type { Clock } from '../lib/clock.ts'
import { every } from '../lib/every.ts'
import { createSteadyClock } from '../lib/steady-clock.ts'
import type { Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import { memoryIdempotency } from './memory-idempotency.ts'
import { memoryRevocations } from './memory-revocations.ts'
import { memoryTemplates } from './memory-templates.ts'
import type { Kept } from './retained.ts'
import type { Acks, Draft, Entry, Log, Store, StoreLimits, StoreObserver } from './store.ts'
import { Traces } from './traces.ts'
import { type Surroundings, UserLog } from './user-log.ts'

/** Logs looked at in one turn of the event loop. */
const TURN = 1_000
const MAX_SHARED_NAMES = 10_000

/** Eight characters of [A-Za-z0-9_-]. */
const newLife = (): Epoch => Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

/**
 * Makes a text of one piece, in place. It was put together from slices of a request, and as long as nobody asks for its
 * bytes the engine keeps the slices, and with them the whole request.
 */
const flatten = (text: string): number => Buffer.byteLength(text)

const entryOf = ({ seq, trace }: Kept, body: string): Entry =>
  trace === undefined ? { seq, body } : { seq, body, trace }

/** Keeps the logs in this process: nothing outlives it, and its life's name tells clients so. */
export function memoryStore({
  limits,
  clock,
  observer,
}: {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
}): Store {
  const logs = new Map<Topic, UserLog>()
  const steady = createSteadyClock(clock)
  const eventTypes = new Map<string, string>()
  const traces = new Traces(limits.maxTraces)
  /** There are few different ones: each entry a text of its own would be as many things to collect. */
  const sharedName = (eventType: string): string => {
    const known = eventTypes.get(eventType)
    if (known !== undefined || eventTypes.size === MAX_SHARED_NAMES) return known ?? eventType
    eventTypes.set(eventType, eventType)
    return eventType
  }
  const around: Surroundings = {
    limits,
    observer,
    sharedName,
    steady,
    kept: (entry, now) => traces.add(entry, now),
    left: () => traces.left(),
  }
  /** What an owner without a log is told, and the epoch of the logs made from now on. */
  let life = newLife()
  let isClosed = false

  const find = (owner: Topic): UserLog => logs.get(owner) ?? new UserLog(owner, life, around)

  const add = (draft: Draft, now: number) => {
    const known = logs.get(draft.owner)
    const userLog = known ?? new UserLog(draft.owner, life, around)
    if (known === undefined) logs.set(draft.owner, userLog)
    flatten(draft.body)
    return userLog.append(draft, now)
  }

  /** Visits every log without holding up the event loop. */
  const visit = async (see: (userLog: UserLog, owner: Topic) => void): Promise<void> => {
    let seen = 0
    for (const [owner, userLog] of logs) {
      see(userLog, owner)
      if (++seen % TURN === 0) await new Promise(setImmediate)
      if (isClosed) return
    }
  }

  // A log that comes back begins at 1 again: under another name, or a cursor of the forgotten one would seem valid in it.
  const forget = (owner: Topic): void => {
    logs.delete(owner)
    life = newLife()
  }

  const cleanUp = async (): Promise<void> => {
    await visit((userLog, owner) => {
      if (userLog.isOver(steady.now())) forget(owner)
    })
    traces.forgetBefore(steady.now() - limits.retentionMs)
  }

  const log: Log = {
    append: async drafts => {
      const now = steady.now()
      return drafts.map(draft => add(draft, now))
    },
    open: async owner => find(owner).open(steady.now()),
    heads: async owners => owners.map(owner => find(owner).open(steady.now()).head),
    count: async (owner, after) => find(owner).count(after, steady.now()),
    read: async (owner, after, limit, unsettledOnly = false) =>
      find(owner).read(after, limit, steady.now(), {
        of: entryOf,
        unsettledOnly,
      }),
    list: async (owner, after, limit) =>
      find(owner).read(after, limit, steady.now(), {
        of: (kept, body) => ({ ...entryOf(kept, body), state: kept.state }),
      }),
    received: (owner, cursor) => logs.get(owner)?.received(cursor, steady.now()),
    handed: (owner, epoch, seqs) => logs.get(owner)?.handed(epoch, seqs, steady.now()),
    trace: async (tenant, id, recipients) => traces.find(tenant, id, recipients),
    totals: async () => {
      let messages = 0
      let users = 0
      await visit(userLog => {
        const size = userLog.size(steady.now())
        messages += size
        if (size > 0) users++
      })
      return { messages, users }
    },
  }

  const acks: Acks = {
    ack: async (owner, ids) =>
      ids.map(id => {
        const userLog = logs.get(owner)
        const entry = userLog?.find(id) ?? traces.entryOf(id, owner)
        return entry && userLog?.ack(entry, steady.now())
      }),
    ackThrough: async (owner, cursor) => find(owner).ackThrough(cursor, steady.now()),
    redeliver: async (owner, cursor, most) => logs.get(owner)?.redeliver(cursor, most, steady.now()),
  }

  const cleaning = every(limits.cleanupMs, cleanUp)

  return {
    kind: 'memory',
    isUp: () => true,
    log,
    acks,
    idempotency: memoryIdempotency(clock, limits.idempotencyTtlMs),
    revocations: memoryRevocations({ clock, maxPerTenant: limits.maxRevocations }),
    templates: memoryTemplates(),
    [Symbol.asyncDispose]: async () => {
      isClosed = true
      cleaning[Symbol.dispose]()
    },
  }
}
