import type { Connection, WriteResult } from '../hub/connection.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import { type Cursor, type Epoch, parseCursor } from '../notification/cursor.ts'
import { type Frame, userFrame } from '../notification/frame.ts'
import type { OnFault } from '../observe/fault.ts'
import type { PageLimit } from '../store/page-limit.ts'
import type { LogStart, Page, UserLog } from '../store/store.ts'
import type { ReplaySpan, TracedLog } from './observed/spans.ts'
import type { Persist } from './persist.ts'
import type { Receipts } from './receipts.ts'
import type { Redeliveries } from './redelivery.ts'
import type { ReplayPace } from './replay-pace.ts'
import { type ResumeRequest, rebase, type StartedConnection, type StartPosition, startOf } from './start.ts'

/** Result of an offer. `later`: a read of the log will write it; `known`: one already has. */
type OfferResult = WriteResult | 'later' | 'known'

/**
 * Delivers a user's log to each connection by one rule. `seq === position + 1` is written. Older entries are dropped.
 * A gap is read from the log. Replay, live delivery and lost hints all follow this rule.
 */
export interface Delivery {
  /** Offers an entry: a hint that carries the data. */
  offer(connection: Connection, cursor: Cursor, frame: Frame): OfferResult
  /** Reports the head of the log without an offer. A connection behind it reads. */
  behind(connection: Connection, head: Cursor): void
  /** Finds the start position; `replay` writes first. Undefined if the connection ended meanwhile. */
  start(connection: Connection, resumeRequest: ResumeRequest): Awaitable<StartedConnection | undefined>
  /** Reads the log from the connection's position until it is live. */
  replay(connection: Connection): Awaitable<void>
  /** Call after the connection has ended and left the hub. */
  ended(connection: Connection): void
}

interface DeliveryOptions {
  readonly log: Pick<UserLog, 'open' | 'count'> & Pick<TracedLog, 'read'>
  readonly receipts: Receipts
  /** Absent when acknowledgement is off. */
  readonly acknowledged?: Pick<Redeliveries, 'resume' | 'changed'> | undefined
  /** Called with the entries that a replay wrote. */
  readonly onReplayed: (connection: Connection, epoch: Epoch, seqs: readonly number[]) => void
  /** Absent when replays are not traced. */
  readonly startSpan?: (() => ReplaySpan) | undefined
  readonly page?: PageLimit
  readonly persist: Persist
  readonly onFault: OnFault
  readonly pace?: ReplayPace
  /** Yields to other work between two pages. */
  readonly turn?: () => Promise<void>
}

/** The start of every unacknowledged entry. */
const OLDEST: StartPosition = { position: 0, recovered: true }

/** Bounds the memory of a slow reader. */
const PAGE: PageLimit = { entries: 1_000, bytes: 256 * 1024 }

const placeOf = ({ epoch, position }: Connection): Cursor => ({ epoch, seq: position })

/** Notes an offer that cannot be written now. Another epoch forces a read; its answer decides. */
function note(connection: Connection, cursor: Cursor): void {
  const { latest } = connection
  if (latest === undefined) connection.latest = cursor
  else if (latest.epoch !== cursor.epoch) connection.stale = true
  else if (latest.seq < cursor.seq) connection.latest = cursor
}

/** Drops offers of other epochs before a read, which covers them. True if there were any. */
function forgetOtherLives(connection: Connection): boolean {
  const { stale, latest, epoch } = connection
  const isOther = latest !== undefined && latest.epoch !== epoch
  connection.stale = false
  if (isOther) connection.latest = undefined
  return stale || isOther
}

const isLevel = ({ stale, latest, epoch, position }: Connection): boolean =>
  !stale && (latest === undefined || (latest.epoch === epoch && latest.seq <= position))

/** True if overflow or age removed unread entries of a client that resumes by cursor. */
const isBroken = ({ toldRemoved, position }: Connection, { removedThrough }: Page): boolean =>
  toldRemoved !== undefined && removedThrough > toldRemoved && removedThrough > position

export function createDelivery({
  log,
  receipts,
  acknowledged,
  onReplayed,
  startSpan,
  page: limit = PAGE,
  persist,
  onFault,
  pace,
  turn = () => new Promise(setImmediate),
}: DeliveryOptions): Delivery {
  /** Moves to the log's present epoch. Entries that both epochs surely share are not repeated. */
  const adopt = async (connection: Connection): Promise<void> => {
    const { head, bases, removedThrough } = await log.open(connection.owner)
    if (head.epoch !== connection.epoch) connection.position = rebase(placeOf(connection), bases)
    connection.epoch = head.epoch
    if (connection.toldRemoved !== undefined) connection.toldRemoved = removedThrough
    note(connection, head)
    acknowledged?.resume(connection)
  }

  /** Advances the position, or cuts a connection that refused. */
  const advance = (connection: Connection, { seq }: Cursor, written: WriteResult): WriteResult => {
    if (written === 'refused') connection.cut()
    else connection.position = seq
    return written
  }

  /** Writes until the client falls behind. The rest is read again later: some may have expired. */
  const writePage = (
    connection: Connection,
    { epoch, entries, through }: Page,
    span: ReplaySpan | undefined,
  ): void => {
    const written: number[] = []
    connection.batch(() => {
      for (const { seq, body } of entries) {
        const cursor = { epoch, seq }
        const how = advance(connection, cursor, connection.write(userFrame(body, cursor)))
        if (how !== 'refused') written.push(seq)
        if (how !== 'sent') break
      }
      if (written.length > 0 && !connection.hasEnded()) connection.ask(placeOf(connection))
    })
    if (written.length > 0) onReplayed(connection, epoch, written)
    span?.wrote(entries.slice(0, written.length))
    if (written.length === entries.length) connection.position = Math.max(connection.position, through)
  }

  /** Reads and writes one page; true if the log had no more entries. */
  const readPage = async (connection: Connection, span: ReplaySpan | undefined): Promise<boolean> => {
    const page = await persist(connection, () =>
      log.read(connection.owner, connection.position, limit, connection.unsettledOnly, span?.span),
    )
    if (page !== undefined) await pace?.write(page)
    if (page === undefined || connection.hasEnded()) return false
    if (page.epoch !== connection.epoch) {
      await persist(connection, () => adopt(connection))
      return false
    }
    if (isBroken(connection, page)) connection.cut()
    else writePage(connection, page, span)
    return page.entries.length === 0
  }

  const readOn = async (connection: Connection, span: ReplaySpan | undefined): Promise<boolean> => {
    // The client's reading paces the replay: wait until its buffer is empty.
    if (connection.buffered() > 0) await connection.drained()
    const read = () => readPage(connection, span)
    return pace === undefined ? read() : pace.run(connection.principal.tenant, read)
  }

  const replay = async (connection: Connection): Promise<void> => {
    if (connection.hasEnded()) return
    connection.phase = 'replaying'
    // False after an offer of another epoch: then only an empty page proves the end.
    let isKnown = true
    // A connection with nothing to read starts no span.
    let span: ReplaySpan | undefined
    while (!(isKnown && isLevel(connection))) {
      if (forgetOtherLives(connection)) isKnown = false
      span ??= startSpan?.()
      if (await readOn(connection, span)) isKnown = true
      if (connection.hasEnded()) return span?.end()
      if (!isLevel(connection)) await turn()
    }
    // No await between the check above and `live`: an offer in between would be lost.
    connection.phase = 'live'
    connection.latest = undefined
    acknowledged?.changed(connection)
    span?.end()
  }

  /** Notes a cursor ahead of the position, and reads if the connection is live. */
  const hint = (connection: Connection, cursor: Cursor): void => {
    note(connection, cursor)
    if (connection.phase !== 'live') return
    replay(connection).catch(error => {
      onFault(error)
      connection.cut()
    })
    acknowledged?.changed(connection)
  }

  return {
    replay,
    ended: connection => {
      receipts.settle(connection)
      acknowledged?.changed(connection)
    },
    behind: (connection, head) => {
      const { phase, epoch, position } = connection
      if (phase === 'ended' || (phase !== 'starting' && head.epoch === epoch && head.seq <= position)) return
      hint(connection, head)
    },
    offer: (connection, cursor, frame) => {
      const { phase, epoch, position } = connection
      if (phase === 'ended') return 'refused'
      const sameLife = phase !== 'starting' && cursor.epoch === epoch
      if (sameLife && cursor.seq <= position) return 'known'
      if (phase === 'live' && sameLife && cursor.seq === position + 1)
        return advance(connection, cursor, connection.writeAndAsk(frame, cursor))
      hint(connection, cursor)
      return 'later'
    },
    start: async (connection, resumeRequest) => {
      const { owner } = connection
      const opened = await persist(connection, () => log.open(owner))
      if (opened === undefined || connection.hasEnded()) return undefined
      connection.unsettledOnly =
        acknowledged !== undefined && connection.transport === 'ws' && resumeRequest.cursor === undefined
      const start = connection.unsettledOnly ? OLDEST : startOf(opened, resumeRequest)
      begin(connection, opened, start)
      if (resumeRequest.cursor !== undefined) connection.toldRemoved = opened.removedThrough
      const presented = resumeRequest.cursor === undefined ? undefined : parseCursor(resumeRequest.cursor)
      if (presented?.epoch === opened.head.epoch && presented.seq <= opened.head.seq)
        receipts.proved(connection, presented)
      receipts.settle(connection)
      const replayed =
        start.position < opened.head.seq
          ? await persist(connection, () => log.count(owner, start.position))
          : 0
      if (replayed === undefined || connection.hasEnded()) return undefined
      acknowledged?.resume(connection)
      return { ...start, cursor: placeOf(connection), replayed }
    },
  }
}

function begin(connection: Connection, { head }: LogStart, { position }: StartPosition): void {
  connection.epoch = head.epoch
  connection.position = position
  connection.phase = 'replaying'
  note(connection, head)
}
