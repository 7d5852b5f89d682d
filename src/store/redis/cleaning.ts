import { every } from '../../lib/time/every.ts'
import type { Topic } from '../../notification/topic.ts'
import type { UserLog } from '../store.ts'
import type { Batches } from './batches.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { ReportFault } from './fault-reporter.ts'
import type { IdleLogs } from './idle-logs.ts'
import { DUE_KEY, LEASED_KEY, SIZES_KEY } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import type { Pace } from './pace.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'
import type { StoredSizes } from './stored-sizes.ts'

/** Physically removes ended entries, and reports the totals. */
export interface Cleaning extends Disposable {
  readonly totals: UserLog['totals']
}

interface CleaningOptions {
  readonly batches: Batches
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly storedSizes: StoredSizes
  readonly pace: Pace
  readonly idleLogs: IdleLogs
  readonly cleanupMs: number
  readonly reportFault: ReportFault
}

/** Due logs of one step. Redis runs one script per log, so other commands run in between. */
const OWNERS_AT_ONCE = 500
/** Steps under way at once. Together they clean faster than appends can fill. */
const STEPS_AT_ONCE = 3
/** Logs that each check visits. */
const CHECKED_AT_ONCE = 100
/** Steps that `totals` takes at most before it answers. */
const STEPS_FOR_TOTALS = 2
/** Interval of the search for due logs, so that ended entries count for about a second more. */
const SWEEP_MS = 1_000
/** After this time another node may lease the same users, milliseconds. */
const LEASE_MS = 30_000
/** Pages of the table of all users that each cleanup checks. */
const CHECKS = 20
const BYTES = 200

interface CleanedLog {
  /** The time of its next work and the owner, or nothing. */
  readonly due: readonly (string | number)[]
  /** The time of its last append and the owner, if it has no entries. */
  readonly idle: readonly (readonly [number, Topic])[]
}

export function createCleaning({
  batches,
  scripts,
  notes,
  storedSizes,
  pace,
  idleLogs,
  cleanupMs,
  reportFault,
}: CleaningOptions): Cleaning {
  let isClosed = false
  /** The last step took as many due logs as it may, so there are more. */
  let isBehind = false
  /** When the sweep under way began, monotonic milliseconds. */
  let sweptAt = 0
  /** Cursor of HSCAN for the check of all users. */
  let place: unknown = '0'

  const clean = async (owner: Topic): Promise<CleanedLog> => {
    await notes.flush(owner)
    const [next, touched] = await scripts.ask(owner, SCRIPTS.clean, [])
    return {
      due: Number(next) < 0 ? [] : [Math.ceil(Number(next)), owner],
      idle: touched === undefined ? [] : [[Number(touched), owner]],
    }
  }

  /** Cleans each log, even if others fail. A failed one is due again when its lease ends. */
  const cleanAll = async (owners: readonly Topic[]): Promise<void> => {
    const cleaned = await Promise.allSettled(owners.map(clean))
    for (const result of cleaned) if (result.status === 'rejected') reportFault(result.reason)
    const done = owners.filter((_, n) => cleaned[n]?.status === 'fulfilled')
    const logs = cleaned.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    const next = logs.flatMap(({ due }) => due)
    await batches.run({
      bytes: owners.length * BYTES,
      build: () => [
        ...(next.length > 0 ? [['zadd', DUE_KEY, 'LT', ...next] as const] : []),
        ...(storedSizes.isLimited ? idleLogs.note(logs.flatMap(({ idle }) => idle)) : []),
        ...(done.length > 0 ? [['zrem', LEASED_KEY, ...done] as const] : []),
      ],
    })
  }

  /** Leases due users and cleans their logs, so that each end is counted once. False when none was due. */
  const step = async (): Promise<boolean> => {
    const [taken] = await batches.run({
      bytes: BYTES,
      build: connection => [
        run(SCRIPTS.take, [DUE_KEY, LEASED_KEY], connection.time(), OWNERS_AT_ONCE, LEASE_MS),
      ],
    })
    // `append` wrote these values.
    const owners = (Array.isArray(taken) ? taken : []) as readonly Topic[]
    isBehind = owners.length === OWNERS_AT_ONCE
    if (owners.length > 0) await cleanAll(owners)
    pace.cleaned(owners.length, isBehind && performance.now() > sweptAt + SWEEP_MS)
    return owners.length > 0
  }

  /** Cleans the next page of all logs: one may have dropped out of the index or the sums. */
  const check = async (): Promise<void> => {
    const [page] = await batches.run({
      bytes: BYTES,
      build: () => [['hscan', SIZES_KEY, String(place), 'COUNT', CHECKED_AT_ONCE]],
    })
    const [next, fields]: unknown[] = Array.isArray(page) ? page : []
    place = next
    // The sums in the same hash have other field names.
    const owners = (Array.isArray(fields) ? fields : []).filter(
      (field, n): field is Topic => n % 2 === 0 && String(field).startsWith('user:'),
    )
    if (owners.length > 0) await cleanAll(owners)
  }

  const checkPages = async (): Promise<void> => {
    for (let n = 0; n < CHECKS && !isClosed; n++) {
      await check()
      if (place === '0') break
    }
  }

  const drain = async (): Promise<void> => {
    while (!isClosed && (await step()));
  }

  const sweep = async (): Promise<void> => {
    sweptAt = performance.now()
    // The first step tells whether several at once are worthwhile.
    if (!isClosed && (await step())) await Promise.all(Array.from({ length: STEPS_AT_ONCE }, drain))
  }

  // After a failure the next run continues.
  const sweeping = every(SWEEP_MS, () =>
    sweep().catch(error => {
      // Appends wait for no cleanup that fails.
      pace.cleaned(0, false)
      reportFault(error)
    }),
  )
  const checking = every(cleanupMs, () => checkPages().catch(reportFault))

  return {
    totals: async () => {
      // With several steps under way another one would only delay the answer.
      for (let n = 0; n < STEPS_FOR_TOTALS && !isBehind && (await step()); n++);
      if (!isBehind) await check()
      await notes.flushAll()
      return storedSizes.totals()
    },
    [Symbol.dispose]: () => {
      isClosed = true
      sweeping[Symbol.dispose]()
      checking[Symbol.dispose]()
    },
  }
}
