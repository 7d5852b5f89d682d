import { StoreFull } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import { createSteadyClock } from '../../lib/time/steady-clock.ts'
import type { Epoch } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { AppendResult, Draft, StoreLimits, StoreObserver, Totals } from '../store.ts'
import type { LogContext } from './context.ts'
import { DueLogs, slotOf } from './due-logs.ts'
import type { SharedBody } from './entry.ts'
import { Head } from './head.ts'
import { ENTRY_BYTES, HEAD_BYTES, Ledger, newAccount } from './ledger.ts'
import { DeliveryReports } from './reports.ts'
import { MemoryLog } from './user-log.ts'

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000
const SWEEP_MS = 500
/** Entries removed, or logs visited, in one turn of the event loop. */
const TURN = 1_000
const MAX_SHARED_NAMES = 10_000

/** Eight characters of [A-Za-z0-9_-]. */
const newLife = (): Epoch => Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

const nextTurn = (): Promise<void> => new Promise(setImmediate)

/**
 * Copies the text into one piece, in place, and returns its UTF-8 bytes. The text consists of slices of a request. Until
 * its bytes are read, the slices keep the whole request in memory.
 */
const flatten = (text: string): number => Buffer.byteLength(text)

interface LogsOptions {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
}

/** The logs of all users in this process, with the sweep that removes ended entries. */
export interface Logs extends Disposable {
  readonly reports: DeliveryReports
  /** Time on the steady clock, milliseconds. */
  now(): number
  /** Undefined for a user without a log. */
  find(owner: Topic): MemoryLog | undefined
  /** Returns an empty log, which is not kept, for a user without one. */
  look(owner: Topic): MemoryLog
  append(drafts: readonly Draft[]): readonly AppendResult[]
  totals(): Totals
}

export function createLogs({ limits, clock, observer }: LogsOptions): Logs {
  /** A log without entries is kept as its head alone. */
  const logs = new Map<Topic, MemoryLog | Head>()
  const steady = createSteadyClock(clock)
  const ledger = new Ledger(limits)
  const due = new DueLogs<MemoryLog>()
  const reports = new DeliveryReports(limits.maxReports)
  const eventTypes = new Map<string, string>()
  /** Shares equal event types. One string per entry would burden the garbage collector. */
  const sharedName = (eventType: string): string => {
    const known = eventTypes.get(eventType)
    if (known !== undefined || eventTypes.size === MAX_SHARED_NAMES) return known ?? eventType
    eventTypes.set(eventType, eventType)
    return eventType
  }
  const context: LogContext = {
    limits,
    observer,
    steady,
    ledger,
    sharedName,
    kept: (entry, now) => reports.add(entry, now),
    left: () => reports.left(),
  }
  /** Epoch of new logs, reported for each user without a log. */
  let life = newLife()
  let isClosed = false

  const wake = (owner: Topic, head: Head): MemoryLog =>
    new MemoryLog(owner, head, ledger.accountOf(tenantOf(owner)), context)

  const find = (owner: Topic): MemoryLog | undefined => {
    const known = logs.get(owner)
    return known instanceof Head ? wake(owner, known) : known
  }

  /** Not kept: a read creates neither a log for a user nor an account for a tenant. */
  const empty = (owner: Topic): MemoryLog => new MemoryLog(owner, new Head(life), newAccount(), context)

  /** Returns the log to append to, and keeps it. */
  const take = (owner: Topic): MemoryLog => {
    const known = logs.get(owner)
    if (known instanceof MemoryLog) return known
    const log = wake(owner, known ?? new Head(life))
    if (known === undefined) ledger.add(log.account, HEAD_BYTES)
    else ledger.setIdle(log.account, owner, false)
    logs.set(owner, log)
    return log
  }

  const place = (log: MemoryLog, now: number): void => {
    // An empty log becomes a head again.
    const slot = slotOf(log.isEmpty ? now : log.endsAt)
    if (slot < log.dueSlot) due.place(log, slot)
  }

  const addOne = (draft: Draft, size: number | SharedBody, now: number): AppendResult => {
    const log = take(draft.owner)
    const appended = log.append(draft, size, now)
    // Without a ttl an entry ends after all earlier entries, so the place still holds.
    if (draft.expiresAt !== undefined || log.dueSlot === Number.POSITIVE_INFINITY) place(log, now)
    return appended
  }

  const addMany = (drafts: readonly Draft[], now: number): readonly AppendResult[] => {
    let body: string | undefined
    let size: SharedBody = { bytes: 0, holders: 0 }
    return drafts.map(draft => {
      if (draft.body !== body) size = { bytes: flatten(draft.body), holders: 0 }
      body = draft.body
      return addOne(draft, size, now)
    })
  }

  const isKnown = ({ owner, id }: Draft): boolean => {
    const log = logs.get(owner)
    return log instanceof MemoryLog && log.find(id) !== undefined
  }

  /** Bytes that the drafts would add to the logs of each tenant. */
  const needs = (drafts: readonly Draft[]): ReadonlyMap<string, number> => {
    const bytes = new Map<string, number>()
    const owners = new Set<Topic>()
    let body: string | undefined
    for (const draft of drafts) {
      if (isKnown(draft)) continue
      const tenant = tenantOf(draft.owner)
      const isNew = !logs.has(draft.owner) && !owners.has(draft.owner)
      owners.add(draft.owner)
      const text = draft.body === body ? 0 : flatten(draft.body)
      body = draft.body
      bytes.set(tenant, (bytes.get(tenant) ?? 0) + ENTRY_BYTES + text + (isNew ? HEAD_BYTES : 0))
    }
    return bytes
  }

  /** Removes up to `most` ended entries. Returns whether there may be more. */
  const sweep = (now: number, most: number): boolean => {
    const end = slotOf(now)
    for (let left = most; left > 0; ) {
      const log = due.take(end)
      if (log === undefined) return false
      left -= Math.max(1, log.purge(now, left))
      if (log.isEmpty) {
        logs.set(log.owner, log.head)
        ledger.setIdle(log.account, log.owner, true)
      } else due.place(log, slotOf(log.endsAt))
    }
    return true
  }

  /** Removes ended entries before totals are read, up to the bound of one turn. */
  const removeEnded = (now: number): void => {
    sweep(now, TURN)
    for (const log of due.in(slotOf(now)).slice(0, TURN)) log.purge(now)
  }

  // A returning log restarts at seq 1. A new epoch makes cursors of the forgotten log invalid.
  const forget = (owner: Topic): void => {
    const account = ledger.accountOf(tenantOf(owner))
    logs.delete(owner)
    ledger.add(account, -HEAD_BYTES)
    ledger.setIdle(account, owner, false)
    ledger.close(tenantOf(owner))
    life = newLife()
  }

  /** Forgets the oldest heads without entries until the drafts fit. A late acknowledgement needs its head. */
  const forgetIdle = (drafts: readonly Draft[], now: number): void => {
    const owners = new Set(drafts.map(({ owner }) => owner))
    for (const [tenant, bytes] of needs(drafts))
      for (const owner of ledger.lacking(tenant, bytes).flatMap(idle => [...idle.values().take(TURN)])) {
        const head = logs.get(owner)
        const isBare = head instanceof Head && head.appendedAt <= now - limits.retentionMs
        if (isBare && !owners.has(owner)) forget(owner)
        if (ledger.lacking(tenant, bytes).length === 0) return
      }
  }

  /** Throws StoreFull when the drafts would exceed a limit. */
  const checkRoom = (drafts: readonly Draft[], now: number): void => {
    if (limits.maxBytes === 0 && limits.tenantMaxBytes === 0) return
    const isFull = (): boolean =>
      [...needs(drafts)].some(([tenant, bytes]) => ledger.lacking(tenant, bytes).length > 0)
    if (isFull()) removeEnded(now)
    if (isFull()) forgetIdle(drafts, now)
    if (isFull()) throw new StoreFull()
  }

  const sweepAll = async (): Promise<void> => {
    // Reads the clock to notice its jumps, even when nothing else does.
    const now = steady.now()
    while (sweep(now, TURN) && !isClosed) await nextTurn()
  }

  const forgetHeads = async (): Promise<void> => {
    let seen = 0
    for (const [owner, known] of logs) {
      if (known instanceof Head && steady.now() > known.appendedAt + HEAD_KEPT_MS) forget(owner)
      if (++seen % TURN === 0) await nextTurn()
      if (isClosed) return
    }
  }

  const cleanUp = async (): Promise<void> => {
    await sweepAll()
    await forgetHeads()
    while (reports.forgetBefore(steady.now() - limits.retentionMs) && !isClosed) await nextTurn()
  }

  const sweeping = every(SWEEP_MS, sweepAll)
  const cleaning = every(limits.cleanupMs, cleanUp)

  return {
    reports,
    now: steady.now,
    find,
    look: owner => find(owner) ?? empty(owner),
    append: drafts => {
      const now = steady.now()
      // Removes more than the append adds, so that the clean-up keeps up.
      sweep(now, 2 * drafts.length)
      checkRoom(drafts, now)
      const [first] = drafts
      if (first === undefined || drafts.length > 1) return addMany(drafts, now)
      return [addOne(first, flatten(first.body), now)]
    },
    totals: () => {
      removeEnded(steady.now())
      return ledger.totals()
    },
    [Symbol.dispose]: () => {
      isClosed = true
      sweeping[Symbol.dispose]()
      cleaning[Symbol.dispose]()
    },
  }
}
