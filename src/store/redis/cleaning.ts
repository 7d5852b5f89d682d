import type { Topic } from '../../notification/topic.ts'
import type { UserLog } from '../store.ts'
import type { Batches } from './batches.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { ReportFault } from './fault-reporter.ts'
import { DUE_KEY, LEASED_KEY, SIZES_KEY } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'
import type { StoredSizes } from './stored-sizes.ts'

/** Physically removes ended entries, and reports the totals. */
export interface Cleaning extends Disposable {
  readonly totals: UserLog['totals']
  /** Cleans up at once, at most once a second. */
  hurry(): void
}

interface CleaningOptions {
  readonly batches: Batches
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly storedSizes: StoredSizes
  readonly cleanupMs: number
  readonly reportFault: ReportFault
}

const OWNERS_AT_ONCE = 100
/** Groups of logs that `totals` cleans at most before it answers. */
const STEPS_FOR_TOTALS = 10
/** After this time another node may lease the same users, milliseconds. */
const LEASE_MS = 30_000
/** Pages of the table of all users that each cleanup checks. */
const CHECKS = 20
const HURRY_MS = 1_000
const BYTES = 200

export function createCleaning({
  batches,
  scripts,
  notes,
  storedSizes,
  cleanupMs,
  reportFault,
}: CleaningOptions): Cleaning {
  let isClosed = false
  let isCleaning = false
  let hurriedAt = 0
  /** Cursor of HSCAN for the check of all users. */
  let place: unknown = '0'

  /** Returns the next due time and the owner; nothing when the log is clean. */
  const clean = async (owner: Topic): Promise<readonly (string | number)[]> => {
    await notes.flush(owner)
    const [next] = await scripts.ask(owner, SCRIPTS.clean, [])
    return Number(next) < 0 ? [] : [Math.ceil(Number(next)), owner]
  }

  /** Cleans each log, even if others fail. A failed one is due again when its lease ends. */
  const cleanAll = async (owners: readonly Topic[]): Promise<void> => {
    const cleaned = await Promise.allSettled(owners.map(clean))
    for (const result of cleaned) if (result.status === 'rejected') reportFault(result.reason)
    const done = owners.filter((_, n) => cleaned[n]?.status === 'fulfilled')
    const next = cleaned.flatMap(result => (result.status === 'fulfilled' ? result.value : []))
    await batches.run({
      bytes: owners.length * BYTES,
      build: () => [
        ...(next.length > 0 ? [['zadd', DUE_KEY, 'LT', ...next] as const] : []),
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
    if (owners.length === 0) return false
    await cleanAll(owners)
    return true
  }

  /** Cleans the next page of all logs: one may have dropped out of the index or the sums. */
  const check = async (): Promise<void> => {
    const [page] = await batches.run({
      bytes: BYTES,
      build: () => [['hscan', SIZES_KEY, String(place), 'COUNT', OWNERS_AT_ONCE]],
    })
    const [next, fields]: unknown[] = Array.isArray(page) ? page : []
    place = next
    // The sums in the same hash have other field names.
    const owners = (Array.isArray(fields) ? fields : []).filter(
      (field, n): field is Topic => n % 2 === 0 && String(field).startsWith('user:'),
    )
    if (owners.length > 0) await cleanAll(owners)
  }

  const cleanUp = async (): Promise<void> => {
    if (isCleaning) return
    isCleaning = true
    try {
      while (!isClosed && (await step()));
      for (let n = 0; n < CHECKS && !isClosed; n++) {
        await check()
        if (place === '0') break
      }
    } catch (error) {
      // The next cleanup continues.
      reportFault(error)
    } finally {
      isCleaning = false
    }
  }

  const timer = setInterval(() => void cleanUp(), cleanupMs)
  timer.unref()

  return {
    totals: async () => {
      for (let n = 0; n < STEPS_FOR_TOTALS && (await step()); n++);
      await check()
      await notes.flushAll()
      return storedSizes.totals()
    },
    hurry: () => {
      if (performance.now() < hurriedAt + HURRY_MS) return
      hurriedAt = performance.now()
      void cleanUp()
    },
    [Symbol.dispose]: () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}
