import { StoreFull } from '../../errors.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Draft, StoreLimits, Totals } from '../store.ts'
import type { Batches } from './batches.ts'
import { bytesOf, type Sharers } from './bodies.ts'
import type { ReportFault } from './fault-reporter.ts'
import { SIZES_KEY } from './keys.ts'
import type { LogSize } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

/** Bytes and entries of all logs of all nodes; up to a second old. */
export interface StoredSizes extends Disposable {
  /** Notes the size of one log, to be written soon. */
  noteSize(owner: Topic, size: LogSize): void
  /** Writes the noted sizes. Never rejects. */
  flush(): Promise<void>
  totals(): Promise<Totals>
  /** Whether a limit is set. Without a limit all drafts fit. */
  readonly isLimited: boolean
  /** Throws StoreFull when the drafts do not fit. Call the result when their append has ended. */
  admit(drafts: readonly Draft[], sharers: Sharers): EndAdmission
}

/** Ends an admission. `isNew`: bytes were or may have been added. They count until the sums are read again. */
export type EndAdmission = (isNew: boolean) => void

interface StoredSizesOptions {
  readonly batches: Batches
  readonly limits: Pick<StoreLimits, 'maxBytes' | 'tenantMaxBytes'>
  /** Whether a Redis is connected; otherwise sizes stay pending. */
  readonly isThere: () => boolean
  readonly reportFault: ReportFault
}

/** Estimated bytes of all logs, or of one tenant's logs. */
interface SizeEstimate {
  /** The sum when last read from Redis. */
  known: number
  /** Bytes of all appends of this node that have ended. */
  ended: number
  /** The part of `ended` that `known` includes. */
  included: number
  /** Bytes of this node's appends under way. */
  underWay: number
}

/** The value of `ended` of each estimate at one moment. */
type Mark = ReadonlyMap<SizeEstimate, number>

const EMPTY: SizeEstimate = { known: 0, ended: 0, included: 0, underWay: 0 }
const WRITE_MS = 100
const BEATS_PER_LOOK = 10
const MAX_OWNERS = 100_000
const MAX_TENANTS = 10_000
const AT_ONCE = 1_000
const WRITES_AT_ONCE = 4
const BYTES = 200
/** Bytes that log.lua counts for an entry without its body, and for a log that gets its first entry. */
const ENTRY_BYTES = 800
const LOG_BYTES = 1_200
/** Logs remembered as holding entries. */
const MAX_HELD = 50_000

export function createStoredSizes({
  batches,
  limits,
  isThere,
  reportFault,
}: StoredSizesOptions): StoredSizes {
  const { maxBytes, tenantMaxBytes } = limits
  const isLimited = maxBytes > 0 || tenantMaxBytes > 0
  const all: SizeEstimate = { ...EMPTY }
  /** Used with a limit per tenant. The least recently used estimate is forgotten first. */
  const tenants = new Map<string, SizeEstimate>()
  let sizes = new Map<Topic, LogSize>()
  /** Users whose log held entries when last seen. Any other log may be new. */
  const held = new Set<Topic>()
  let beats = 0

  const tenantFilled = (tenant: string): SizeEstimate => {
    const filled = tenants.get(tenant) ?? { ...EMPTY }
    tenants.delete(tenant)
    tenants.set(tenant, filled)
    if (tenants.size > MAX_TENANTS) tenants.delete(tenants.keys().next().value ?? tenant)
    return filled
  }

  const markOf = (): Mark => new Map([all, ...tenants.values()].map(filled => [filled, filled.ended]))

  const learn = (filled: SizeEstimate | undefined, known: number, mark: Mark): void => {
    if (filled === undefined) return
    filled.known = known
    filled.included = mark.get(filled) ?? filled.included
  }

  const weightOf = (drafts: readonly Draft[], sharers: Sharers): number => {
    const begun = new Set<Topic>()
    return drafts.reduce((sum, draft) => {
      const isNew = !held.has(draft.owner) && !begun.has(draft.owner)
      begun.add(draft.owner)
      return sum + ENTRY_BYTES + bytesOf(draft, sharers) + (isNew ? LOG_BYTES : 0)
    }, 0)
  }

  const hasRoom = (
    { known, ended, included, underWay }: SizeEstimate,
    bytes: number,
    most: number,
  ): boolean => most === 0 || known + ended - included + underWay + bytes <= most

  /** Counts bytes as under way. Call the result to count them as ended. */
  const begin = (filled: SizeEstimate, bytes: number): EndAdmission => {
    filled.underWay += bytes
    return isNew => {
      filled.underWay -= bytes
      if (isNew) filled.ended += bytes
    }
  }

  /** Writes sizes and reads the sums: entries, users, bytes, then the bytes of these tenants. */
  const exchange = async (
    some: readonly (readonly [Topic, LogSize])[],
    asked: readonly string[],
  ): Promise<readonly number[]> => {
    const given = some.flatMap(([owner, { entries, bytes }]) => [owner, entries, bytes])
    const [reply] = await batches.run({
      bytes: (1 + some.length + asked.length) * BYTES,
      build: () => [run(SCRIPTS.sizes, [SIZES_KEY], asked.length, ...asked, ...given)],
    })
    return Array.isArray(reply) ? reply.map(Number) : []
  }

  const write = async (some: readonly (readonly [Topic, LogSize])[]): Promise<void> => {
    if (some.length === 0) return
    await exchange(some, []).catch(error => {
      for (const [owner, size] of some) if (!sizes.has(owner)) sizes.set(owner, size)
      reportFault(error)
    })
  }

  /** Reads the sums, because other nodes append and clean up too. They include what had ended at the mark. */
  const look = async (mark: Mark): Promise<void> => {
    const names = tenantMaxBytes > 0 ? [...tenants.keys()] : []
    for (let from = 0; from === 0 || from < names.length; from += AT_ONCE) {
      const some = names.slice(from, from + AT_ONCE)
      const [, , bytes = 0, ...ofTenants] = await exchange([], some)
      learn(all, bytes, mark)
      for (const [n, name] of some.entries()) learn(tenants.get(name), ofTenants[n] ?? 0, mark)
    }
  }

  const flushNow = async (): Promise<void> => {
    const noted = [...sizes]
    const mark = isLimited ? markOf() : undefined
    sizes = new Map()
    for (let from = 0; from < noted.length; from += WRITES_AT_ONCE * AT_ONCE) {
      const starts = Array.from({ length: WRITES_AT_ONCE }, (_, n) => from + n * AT_ONCE)
      await Promise.all(starts.map(start => write(noted.slice(start, start + AT_ONCE))))
    }
    if (mark !== undefined && (noted.length > 0 || beats % BEATS_PER_LOOK === 0))
      await look(mark).catch(reportFault)
  }

  /** Runs flushes one at a time, so that a mark matches the sizes written before. */
  let last: Promise<void> = Promise.resolve()
  let waiting = 0
  const flush = (): Promise<void> => {
    waiting++
    last = last.then(flushNow).finally(() => {
      waiting--
    })
    return last
  }

  const refuse = (what: string): never => {
    throw new StoreFull(`${what} is reached`)
  }

  const timer = setInterval(() => {
    beats++
    if (isThere() && waiting === 0) void flush()
  }, WRITE_MS)
  timer.unref()

  return {
    noteSize: (owner, size) => {
      if (sizes.size < MAX_OWNERS || sizes.has(owner)) sizes.set(owner, size)
      if (size.entries === 0) held.delete(owner)
      else if (isLimited && held.size < MAX_HELD) held.add(owner)
    },
    flush,
    isLimited,
    totals: async () => {
      await flush()
      const [messages = 0, users = 0, bytes = 0] = await exchange([], [])
      return { messages, users, bytes }
    },
    admit: (drafts, sharers) => {
      const weight = weightOf(drafts, sharers)
      if (!hasRoom(all, weight, maxBytes)) refuse('STORE_MAX_BYTES')
      const byTenant =
        tenantMaxBytes > 0
          ? [...Map.groupBy(drafts, ({ owner }) => tenantOf(owner))].map(
              ([tenant, theirs]) => [tenantFilled(tenant), weightOf(theirs, sharers)] as const,
            )
          : []
      if (!byTenant.every(([filled, bytes]) => hasRoom(filled, bytes, tenantMaxBytes)))
        refuse('TENANT_MAX_STORED_BYTES')
      const ends = [[all, weight] as const, ...byTenant].map(([filled, bytes]) => begin(filled, bytes))
      return isNew => {
        for (const end of ends) end(isNew)
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
