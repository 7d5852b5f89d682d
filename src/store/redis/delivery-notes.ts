import { StoreAway } from '../../errors.ts'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { ReportFault } from './fault-reporter.ts'
import type { Answer, LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'

/** Writes that no caller waits for. They are sent soon, in batches. */
export interface DeliveryNotes {
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[], isLive?: boolean): void
  received(owner: Topic, cursor: Cursor): void
  /** Takes the pending notes of that log, for the caller to write; undefined when there are none. */
  take(owner: Topic): NoteBatch | undefined
  /**
   * Writes the pending notes of that log at once. The next read includes them. Undefined when there are none. Never
   * rejects.
   */
  flush(owner: Topic): Promise<void> | undefined
  /** Writes everything. Never rejects. */
  flushAll(): Promise<void>
  close(): void
}

export interface NoteBatch {
  /** Arguments for the script `note`. */
  readonly given: readonly (string | number)[]
  /** Call with the script's answer: receipts that it left out become pending again. */
  written(answer: Answer): void
  /** Call after a failure: notes become pending again, unless they would fail again. Rethrows a fault of our own code. */
  failed(error: unknown): void
  /** Call when the outcome is unknown: notes become pending again. */
  lost(): void
}

interface DeliveryNotesOptions {
  readonly scripts: LogScripts
  /** Whether a Redis is connected; otherwise notes stay pending. */
  readonly isThere: () => boolean
  /** Milliseconds since 1970, by the clock of the store. */
  readonly now: () => number
  readonly reportFault: ReportFault
}

/** Pending notes of one log. */
interface LogNotes {
  readonly handed: (readonly [epoch: Epoch, seq: number, at: number, live: 0 | 1])[]
  /** Every cursor, not only the furthest: the furthest may be one that the log never had. */
  readonly received: Cursor[]
  /** The notes were sent before, with an unknown outcome. */
  isUnsure: boolean
}

const NOTE_MS = 100
/** Bounds during an outage. Notes beyond them are lost, as they might be in a crash. */
const MAX_OWNERS = 100_000
const MAX_HANDED = 10_000
const MAX_RECEIVED = 100

export function createDeliveryNotes({
  scripts,
  isThere,
  now,
  reportFault,
}: DeliveryNotesOptions): DeliveryNotes {
  const noted = new Map<Topic, LogNotes>()

  const of = (owner: Topic): LogNotes | undefined => {
    const known = noted.get(owner)
    if (known !== undefined || noted.size >= MAX_OWNERS) return known
    const made: LogNotes = { handed: [], received: [], isUnsure: false }
    noted.set(owner, made)
    return made
  }

  /** Makes notes pending again, for the next write. */
  const keep = (owner: Topic, { handed, received, isUnsure }: LogNotes): void => {
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
    return taken && write(owner, taken).catch(reportFault)
  }

  const flushAll = async (): Promise<void> => {
    await Promise.all([...noted.keys()].map(flush))
  }

  const timer = setInterval(() => {
    if (isThere()) void flushAll()
  }, NOTE_MS)
  timer.unref()

  return {
    handed: (owner, epoch, seqs, isLive) => {
      const all = of(owner)
      if (all === undefined) return
      const at = now()
      for (const seq of seqs)
        if (all.handed.length < MAX_HANDED) all.handed.push([epoch, seq, at, isLive ? 1 : 0])
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
