import { StoreAway } from '../../errors.ts'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { Answer, LogScripts } from './log-scripts.ts'
import type { Report } from './report.ts'
import { SCRIPTS } from './scripts.ts'

/** What nobody waits for: it is written soon, with what else there is by then. */
export interface Notes {
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  received(owner: Topic, cursor: Cursor): void
  /** What is noted of that log, to be written by whoever takes it; undefined when that is nothing. */
  take(owner: Topic): NoteBatch | undefined
  /** Writes at once what is noted of that log, so that what is asked next finds it; undefined when that is nothing. Never rejects. */
  flush(owner: Topic): Promise<void> | undefined
  /** Writes everything. Never rejects. */
  flushAll(): Promise<void>
  close(): void
}

export interface NoteBatch {
  /** What the script `note` is to be given. */
  readonly given: readonly (string | number)[]
  /** Call with the script's answer: receipts that it left are noted again. */
  written(answer: Answer): void
  /** Call after a failure: notes it again, unless that would fail again. Throws a fault of our own. */
  failed(error: unknown): void
  /** Call when the outcome is unknown: notes it again. */
  lost(): void
}

interface NotesOptions {
  readonly scripts: LogScripts
  /** As long as there is no Redis what is noted stays where it is. */
  readonly isThere: () => boolean
  /** Milliseconds since 1970, by the clock of the store. */
  readonly now: () => number
  readonly report: Report
}

/** Of one log. */
interface Note {
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

export function createNotes({ scripts, isThere, now, report }: NotesOptions): Notes {
  const noted = new Map<Topic, Note>()

  const of = (owner: Topic): Note | undefined => {
    const known = noted.get(owner)
    if (known !== undefined || noted.size >= MAX_OWNERS) return known
    const made: Note = { handed: [], received: [], isUnsure: false }
    noted.set(owner, made)
    return made
  }

  /** Noted again, to be written with the next. */
  const keep = (owner: Topic, { handed, received, isUnsure }: Note): void => {
    const later = of(owner)
    if (later === undefined) return
    later.isUnsure ||= isUnsure
    later.handed.unshift(...handed.slice(0, MAX_HANDED - later.handed.length))
    later.received.unshift(...received.slice(0, MAX_RECEIVED - later.received.length))
  }

  const take = (owner: Topic): NoteBatch | undefined => {
    const all = noted.get(owner)
    if (all === undefined) return undefined
    noted.delete(owner)
    const { handed, received, isUnsure } = all
    const lost = (): void => keep(owner, { handed, received, isUnsure: true })
    const places = received.flatMap(({ epoch, seq }) => [epoch, seq])
    return {
      given: [isUnsure ? '1' : '', received.length, ...places, ...handed.flat()],
      written: ([isLeft]) => {
        if (isLeft === 1) keep(owner, { handed: [], received, isUnsure: false })
      },
      failed: error => {
        if (!(error instanceof StoreAway)) throw error
        lost()
      },
      lost,
    }
  }

  const write = async (owner: Topic, first: NoteBatch): Promise<void> => {
    for (let taken: NoteBatch | undefined = first; taken !== undefined; taken = take(owner)) {
      const answer = await scripts.ask(owner, SCRIPTS.note, taken.given).catch(taken.failed)
      if (answer === undefined) return
      taken.written(answer)
    }
  }

  const flush = (owner: Topic): Promise<void> | undefined => {
    const taken = take(owner)
    return taken && write(owner, taken).catch(report)
  }

  const flushAll = async (): Promise<void> => {
    await Promise.all([...noted.keys()].map(flush))
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
    take,
    flush,
    flushAll,
    close: () => clearInterval(timer),
  }
}
