import { StoreFull } from '../../errors.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Draft, StoreLimits, Totals } from '../store.ts'
import type { Batches } from './batches.ts'
import { bytesOf, type Sharers } from './bodies.ts'
import { SIZES_KEY } from './keys.ts'
import type { LogSize } from './log-scripts.ts'
import type { Report } from './report.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

/** Bytes and entries of all logs of all nodes; up to a second old. */
export interface Stored extends Disposable {
  /** Notes the size of one log, to be written soon. */
  sized(owner: Topic, size: LogSize): void
  /** Writes the noted sizes. Never rejects. */
  flush(): Promise<void>
  totals(): Promise<Totals>
  /** Throws StoreFull when the drafts do not fit. Call what it returns when their append has ended. */
  admit(drafts: readonly Draft[], sharers: Sharers): () => void
}

interface StoredOptions {
  readonly batches: Batches
  readonly limits: Pick<StoreLimits, 'maxBytes' | 'tenantMaxBytes'>
  /** Whether a Redis is connected; else sizes wait. */
  readonly isThere: () => boolean
  /** Called when drafts are refused: ended entries may take up room. */
  readonly onFull: () => void
  readonly report: Report
}

/** Bytes of all logs, or of those of one tenant. */
interface Filled {
  /** As Redis last said. */
  known: number
  /** Of appends of this node that ended since then. */
  ended: number
  /** Of appends of this node under way. */
  underWay: number
}

const EMPTY: Filled = { known: 0, ended: 0, underWay: 0 }
const WRITE_MS = 100
const WRITES_PER_LOOK = 10
const MAX_OWNERS = 100_000
const MAX_TENANTS = 10_000
const AT_ONCE = 500
const BYTES = 200
/** Of one entry beside its body, in a log that may be new, as the scripts count them. */
const ENTRY_BYTES = 2_000

const NOTHING = (): void => {}

const weightOf = (drafts: readonly Draft[], sharers: Sharers): number =>
  drafts.reduce((sum, draft) => sum + ENTRY_BYTES + bytesOf(draft, sharers), 0)

export function createStored({ batches, limits, isThere, onFull, report }: StoredOptions): Stored {
  const { maxBytes, tenantMaxBytes } = limits
  const isLimited = maxBytes > 0 || tenantMaxBytes > 0
  const all: Filled = { ...EMPTY }
  /** Used with a limit per tenant. The least recently used one is forgotten first. */
  const tenants = new Map<string, Filled>()
  let sizes = new Map<Topic, LogSize>()
  let beats = 0

  const tenantFilled = (tenant: string): Filled => {
    const filled = tenants.get(tenant) ?? { ...EMPTY }
    tenants.delete(tenant)
    tenants.set(tenant, filled)
    if (tenants.size > MAX_TENANTS) tenants.delete(tenants.keys().next().value ?? tenant)
    return filled
  }

  const learn = (filled: Filled, known: number, endedBefore: number): void => {
    filled.known = known
    filled.ended -= endedBefore
  }

  const hasRoom = ({ known, ended, underWay }: Filled, bytes: number, most: number): boolean =>
    most === 0 || known + ended + underWay + bytes <= most

  /** Counts bytes as under way; call the result to count them as ended. */
  const begin = (filled: Filled, bytes: number): (() => void) => {
    filled.underWay += bytes
    return () => {
      filled.underWay -= bytes
      filled.ended += bytes
    }
  }

  /** Writes the sizes and reads the sums, in all and of these tenants. */
  const exchange = async (some: readonly (readonly [Topic, LogSize])[], asked: readonly string[]) => {
    const given = some.flatMap(([owner, { entries, bytes }]) => [owner, entries, bytes])
    const endedBefore = all.ended
    const endedOf = asked.map(tenant => tenants.get(tenant)?.ended ?? 0)
    const [reply] = await batches.run({
      bytes: (1 + some.length + asked.length) * BYTES,
      build: () => [run(SCRIPTS.sizes, [SIZES_KEY], asked.length, ...asked, ...given)],
    })
    const [messages = 0, users = 0, bytes = 0, ...ofTenants] = Array.isArray(reply) ? reply.map(Number) : []
    learn(all, bytes, endedBefore)
    for (const [n, tenant] of asked.entries()) {
      const filled = tenants.get(tenant)
      if (filled !== undefined) learn(filled, ofTenants[n] ?? 0, endedOf[n] ?? 0)
    }
    return { messages, users, bytes }
  }

  const write = async (some: readonly (readonly [Topic, LogSize])[]): Promise<void> => {
    const asked = tenantMaxBytes > 0 ? [...new Set(some.map(([owner]) => tenantOf(owner)))] : []
    await exchange(some, asked).catch(error => {
      for (const [owner, size] of some) if (!sizes.has(owner)) sizes.set(owner, size)
      report(error)
    })
  }

  const flush = async (): Promise<void> => {
    const noted = [...sizes]
    sizes = new Map()
    for (let from = 0; from < noted.length; from += AT_ONCE) await write(noted.slice(from, from + AT_ONCE))
  }

  /** Reads the sums again: other nodes append and clean up, too. */
  const look = async (): Promise<void> => {
    const names = [...tenants.keys()]
    for (let from = 0; from === 0 || from < names.length; from += AT_ONCE)
      await exchange([], names.slice(from, from + AT_ONCE)).catch(report)
  }

  const refuse = (what: string): never => {
    onFull()
    throw new StoreFull(`${what} is reached`)
  }

  const timer = setInterval(() => {
    if (!isThere()) return
    void flush()
    if (isLimited && beats++ % WRITES_PER_LOOK === 0) void look()
  }, WRITE_MS)
  timer.unref()

  return {
    sized: (owner, size) => {
      if (sizes.size < MAX_OWNERS || sizes.has(owner)) sizes.set(owner, size)
    },
    flush,
    totals: async () => {
      await flush()
      return exchange([], [])
    },
    admit: (drafts, sharers) => {
      if (!isLimited) return NOTHING
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
      return () => {
        for (const end of ends) end()
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
