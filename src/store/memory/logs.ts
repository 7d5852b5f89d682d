import { StoreFull } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import { createSteadyClock } from '../../lib/time/steady-clock.ts'
import type { Epoch } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { AppendResult, Draft, StoreLimits, StoreObserver, Totals } from '../store.ts'
import { Bodies } from './bodies.ts'
import type { LogContext } from './context.ts'
import { DueLogs, slotOf } from './due-logs.ts'
import { Head } from './head.ts'
import { ENTRY_BYTES, HEAD_BYTES, Ledger, newAccount } from './ledger.ts'
import { DeliveryReports } from './reports.ts'
import { Rows } from './rows.ts'
import { DeliveryStates } from './states.ts'
import { Text } from './text.ts'
import { MemoryLog } from './user-log.ts'

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000
const SWEEP_MS = 500
/** Entries removed, or logs visited, in one turn of the event loop. */
const TURN = 1_000
/** Blocks of rows searched for reports in one turn. */
const BLOCKS = 4

/** Eight characters of [A-Za-z0-9_-]. */
const newLife = (): Epoch => Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

const nextTurn = (): Promise<void> => new Promise(setImmediate)

interface LogsOptions {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
}

/** The logs of all users in this process, with the sweep that removes ended entries. */
export interface Logs extends Disposable, Pick<LogContext, 'rows' | 'reports' | 'states'> {
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
  const rows = new Rows()
  const bodies = new Bodies(rows)
  const reports = new DeliveryReports(rows, limits.maxReports)
  const context: LogContext = {
    limits,
    observer,
    steady,
    ledger,
    rows,
    bodies,
    reports,
    states: new DeliveryStates({ rows, steady, limits, observer }),
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

  const addOne = (draft: Draft, text: Text, now: number): AppendResult => {
    const log = take(draft.owner)
    const appended = log.append(draft, text, now)
    // Without a ttl an entry ends after all earlier entries, so the place still holds.
    if (draft.expiresAt !== undefined || log.dueSlot === Number.POSITIVE_INFINITY) place(log, now)
    return appended
  }

  const addMany = (drafts: readonly Draft[], now: number): readonly AppendResult[] => {
    let text: Text | undefined
    return drafts.map((draft, n) => {
      if (text?.text !== draft.body) text = new Text(draft.body, drafts[n + 1]?.body === draft.body)
      return addOne(draft, text, now)
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
      const text = draft.body === body ? 0 : Buffer.byteLength(draft.body)
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

  const forgetReports = async (moment: number): Promise<void> => {
    for (let block = 0; block < rows.blocks && !isClosed; block++) {
      reports.forgetBefore(moment, block)
      if (block % BLOCKS === BLOCKS - 1) await nextTurn()
    }
  }

  const cleanUp = async (): Promise<void> => {
    await sweepAll()
    await forgetHeads()
    await forgetReports(steady.now() - limits.retentionMs)
  }

  const sweeping = every(SWEEP_MS, sweepAll)
  const cleaning = every(limits.cleanupMs, cleanUp)

  return {
    rows,
    reports,
    states: context.states,
    now: steady.now,
    find,
    look: owner => find(owner) ?? empty(owner),
    append: drafts => {
      const now = steady.now()
      // Removes more than the append adds, so that the clean-up keeps up.
      sweep(now, 2 * drafts.length)
      if (!bodies.hasRoom) throw new StoreFull()
      checkRoom(drafts, now)
      const [first] = drafts
      if (first === undefined || drafts.length > 1) return addMany(drafts, now)
      return [addOne(first, new Text(first.body, false), now)]
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
