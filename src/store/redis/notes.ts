import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { Batches } from './batches.ts'
import { SIZES_KEY } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

/** What nobody waits for: it is written soon, with what else there is by then. */
export interface Notes {
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  received(owner: Topic, cursor: Cursor): void
  /** A log retains so many entries now. */
  sized(owner: Topic, size: number): void
  /** What is noted of that log, to be written by whoever takes it; undefined when that is nothing. */
  take(owner: Topic): Taken | undefined
  /** Writes at once what is noted of that log, so that what is asked next finds it; undefined when that is nothing. Never rejects. */
  flush(owner: Topic): Promise<void> | undefined
  /** Writes everything. Never rejects. */
  flushAll(): Promise<void>
  close(): void
}

export interface Taken {
  /** What the script `note` is to be given. */
  readonly given: readonly (string | number)[]
  /** It was not written, or nobody knows: it is noted again. */
  lost(): void
}

interface NotesOptions {
  readonly batches: Batches
  readonly scripts: LogScripts
  /** As long as there is no Redis what is noted stays where it is. */
  readonly isThere: () => boolean
  /** Milliseconds since 1970, by the clock of the store. */
  readonly now: () => number
}

/** Of one log. */
interface Noted {
  readonly handed: (readonly [epoch: Epoch, seq: number, at: number])[]
  /** Not only the furthest: it may be a place that the log never had. */
  readonly received: Cursor[]
  /** It was sent before, and nobody knows whether it was written. */
  isUnsure: boolean
}

const NOTE_MS = 100
/** In an outage; what is noted of more logs, or more of one, is forgotten, which a crash might do as well. */
const MAX_OWNERS = 100_000
const MAX_HANDED = 10_000
const MAX_RECEIVED = 100
const SIZES_AT_ONCE = 500
const BYTES = 200

export function createNotes({ batches, scripts, isThere, now }: NotesOptions): Notes {
  const noted = new Map<Topic, Noted>()
  let sizes = new Map<Topic, number>()

  const of = (owner: Topic): Noted | undefined => {
    const known = noted.get(owner)
    if (known !== undefined || noted.size >= MAX_OWNERS) return known
    const made: Noted = { handed: [], received: [], isUnsure: false }
    noted.set(owner, made)
    return made
  }

  /** Not written, or nobody knows: with the next. */
  const keep = (owner: Topic, { handed, received }: Noted): void => {
    const later = of(owner)
    if (later === undefined) return
    later.isUnsure = true
    later.handed.unshift(...handed.slice(0, MAX_HANDED - later.handed.length))
    later.received.unshift(...received.slice(0, MAX_RECEIVED - later.received.length))
  }

  const take = (owner: Topic): Taken | undefined => {
    const all = noted.get(owner)
    if (all === undefined) return undefined
    noted.delete(owner)
    const { handed, received, isUnsure } = all
    const places = received.flatMap(({ epoch, seq }) => [epoch, seq])
    return {
      given: [isUnsure ? '1' : '', received.length, ...places, ...handed.flat()],
      lost: () => keep(owner, all),
    }
  }

  const flush = (owner: Topic): Promise<void> | undefined => {
    const taken = take(owner)
    return taken && scripts.ask(owner, SCRIPTS.note, taken.given).then(() => {}, taken.lost)
  }

  const writeSizes = async (some: readonly (readonly [Topic, number])[]): Promise<void> => {
    const bytes = some.length * BYTES
    const build = () => [run(SCRIPTS.sizes, [SIZES_KEY], ...some.flat())]
    await batches.run({ bytes, build }).catch(() => {
      for (const [owner, size] of some) if (!sizes.has(owner)) sizes.set(owner, size)
    })
  }

  const flushSizes = async (): Promise<void> => {
    const all = [...sizes]
    sizes = new Map()
    for (let from = 0; from < all.length; from += SIZES_AT_ONCE)
      await writeSizes(all.slice(from, from + SIZES_AT_ONCE))
  }

  const flushAll = async (): Promise<void> => {
    await Promise.all([...noted.keys()].map(flush))
    await flushSizes()
  }

  const timer = setInterval(() => {
    if (isThere()) void flushAll()
  }, NOTE_MS)
  timer.unref()

  return {
    handed: (owner, epoch, seqs) => {
      const all = of(owner)
      if (all === undefined) return
      const at = now()
      for (const seq of seqs) if (all.handed.length < MAX_HANDED) all.handed.push([epoch, seq, at])
    },
    received: (owner, cursor) => {
      const all = of(owner)
      if (all === undefined) return
      const last = all.received.at(-1)
      if (last?.epoch === cursor.epoch && last.seq === cursor.seq) return
      if (all.received.length === MAX_RECEIVED) all.received.shift()
      all.received.push(cursor)
    },
    sized: (owner, size) => {
      if (sizes.size < MAX_OWNERS || sizes.has(owner)) sizes.set(owner, size)
    },
    take,
    flush,
    flushAll,
    close: () => clearInterval(timer),
  }
}
