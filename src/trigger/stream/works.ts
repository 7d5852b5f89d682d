import type { Clock } from '../../lib/time/clock.ts'
import type { StreamCommands, StreamEntry } from './commands.ts'

/** An entry of this consumer, from its reading until Redis has its acknowledgement. */
export interface Work {
  readonly id: string
  /** Place in the order of arrival. */
  readonly order: number
  /** Undefined when no longer needed. */
  data: Buffer | undefined
  /** Attempts begun, this one included. */
  tries: number
  /** Whether Redis counts this attempt. An attempt that an outage ends does not count. */
  isCounted: boolean
  /** How often the store refused it although it was there. */
  refusals: number
  /** When its idle time began in Redis, monotonic milliseconds. */
  keptAt: number
  /** Reason of its dead letter. */
  death?: string
}

/** All entries under way, and what Redis is told about them. */
export interface Works {
  readonly size: number
  /** Bytes of entries that have not ended. */
  readonly bytes: number
  has(id: string): boolean
  add(entry: StreamEntry, tries: number): Work
  /** Acknowledges the entry together with others of this turn. */
  finish(work: Work): void
  /** Adds a dead letter. Resolves when Redis has it. */
  addLetter(work: Work, reason: string): Promise<void>
  /** Tells Redis the attempts of these entries. */
  setTries(works: readonly Work[], tries: number): void
  /** Lets another consumer take the entries at once; their last attempt does not count. */
  giveUp(works: readonly Work[]): Promise<unknown>
  /** Sets the connection; undefined while there is none. */
  attach(commands: StreamCommands | undefined): void
  /** Keeps other consumers from taking what is under way, and repeats acknowledgements that failed. */
  upkeep(): void
  /** Resolves when Redis has answered to all acknowledgements up to now. */
  flush(): Promise<void>
}

interface WorksOptions {
  /** Called when entries have left. */
  readonly onForgotten: (ids: readonly string[]) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/** Age at which an entry under way is kept from other consumers. */
const KEEP_MS = 10_000

export function createWorks({ onForgotten, clock }: WorksOptions): Works {
  const works = new Map<string, Work>()
  let commands: StreamCommands | undefined
  let bytes = 0
  let order = 0
  /** Entries to acknowledge. */
  let ended: string[] = []
  let flushed = Promise.resolve()

  /** A refused or lost acknowledgement is repeated. */
  const acknowledge = async (): Promise<void> => {
    if (commands === undefined || ended.length === 0) return
    const ids = ended
    ended = []
    try {
      await commands.acknowledge(ids)
    } catch {
      ended.push(...ids)
      return
    }
    for (const id of ids) works.delete(id)
    onForgotten(ids)
  }

  const flush = (): Promise<void> => {
    flushed = flushed.then(acknowledge)
    return flushed
  }

  return {
    get size() {
      return works.size
    },
    get bytes() {
      return bytes
    },
    has: id => works.has(id),
    add: ({ id, data }, tries) => {
      const counts = { tries, isCounted: true, refusals: 0 }
      const work: Work = { id, order: order++, data, ...counts, keptAt: clock.monotonic() }
      works.set(id, work)
      bytes += data?.length ?? 0
      return work
    },
    finish: work => {
      bytes -= work.data?.length ?? 0
      work.data = undefined
      ended.push(work.id)
      if (ended.length === 1) setImmediate(() => void flush())
    },
    addLetter: async (work, reason) => {
      if (commands === undefined) throw new Error('there is no connection to Redis')
      await commands.bury(work, reason)
    },
    setTries: (some, tries) => {
      const ids = some.map(({ id }) => id)
      // Without an answer Redis counts one attempt more or less.
      void commands?.setTries(ids, tries).catch(() => {})
    },
    giveUp: some =>
      Promise.allSettled(some.map(({ id, tries }) => commands?.giveUp(id, Math.max(0, tries - 1)))),
    attach: given => {
      commands = given
      void flush()
    },
    upkeep: () => {
      const now = clock.monotonic()
      const old = [...works.values()].filter(({ keptAt }) => now - keptAt > KEEP_MS)
      for (const work of old) work.keptAt = now
      if (old.length > 0) void commands?.keep(old.map(({ id }) => id)).catch(() => {})
      void flush()
    },
    flush,
  }
}
