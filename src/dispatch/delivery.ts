import type { Connection, WriteResult } from '../hub/connection.ts'
import { type Cursor, type Epoch, parseCursor } from '../notification/cursor.ts'
import { type Frame, userFrame } from '../notification/frame.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import type { PageLimit } from '../store/page-limit.ts'
import type { LogStart, Page, UserLog } from '../store/store.ts'
import type { ReplaySpan, TracedLog } from './observed/spans.ts'
import type { Persist } from './persist.ts'
import type { Receipts } from './receipts.ts'
import type { Redeliveries } from './redelivery.ts'
import type { ReplayPace } from './replay-pace.ts'
import { type ResumeRequest, rebase, type StartedConnection, type StartPosition, startOf } from './start.ts'

/** What became of an offer: `later` means that a read of the log will bring it, `known` that one has brought it before. */
export type OfferResult = WriteResult | 'later' | 'known'

/**
 * Brings each connection its user's log by one rule: `seq === position + 1` is written, what is older is
 * dropped, and a gap is read from the log. Replay, live delivery and lost hints are all this rule.
 */
export interface Delivery {
  /** A live push: a hint that carries the data. Not `isNew` when the log knew the entry before: then nobody counts it again. */
  offer(connection: Connection, cursor: Cursor, frame: Frame, isNew: boolean): OfferResult
  /** The log goes as far as that, as is known without an offer: who is not there reads. */
  behind(connection: Connection, head: Cursor): void
  /** Finds where the connection starts; nothing is written to it before `replay`. Undefined when it ended meanwhile. */
  start(connection: Connection, wish: ResumeRequest): Promise<StartedConnection | undefined>
  /** Reads the log from the connection's position until it is live. */
  replay(connection: Connection): Promise<void>
  /** The connection has ended and left the hub. */
  ended(connection: Connection): void
}

interface DeliveryOptions {
  readonly log: Pick<UserLog, 'open' | 'count'> & Pick<TracedLog, 'read'>
  readonly receipts: Receipts
  /** What acknowledgement adds; absent when it is off. */
  readonly acknowledged?: Pick<Redeliveries, 'resume' | 'changed'> | undefined
  /** A replay wrote these. */
  readonly onReplayed: (connection: Connection, epoch: Epoch, seqs: readonly number[]) => void
  /** An offer found that a replay had been there before: what is written once is told of twice, here and by the offer. */
  readonly onOfferedLate: (connection: Connection) => void
  /** Absent when replays are not traced. */
  readonly startSpan?: (() => ReplaySpan) | undefined
  readonly page?: PageLimit
  readonly persist: Persist
  readonly onFault: OnFault
  readonly pace?: ReplayPace
  /** Lets other work run between two pages. */
  readonly turn?: () => Promise<void>
}

/** Everything that is not acknowledged, from the beginning. */
const OLDEST: StartPosition = { position: 0, recovered: true }

/** Bounds what a slow reader holds in memory. */
const PAGE: PageLimit = { entries: 1_000, bytes: 256 * 1024 }

const ownerOf = ({ principal: { tenant, user } }: Connection): Topic => userTopic(tenant, user)
const placeOf = ({ epoch, position }: Connection): Cursor => ({ epoch, seq: position })

/** Heard of an entry that this connection cannot take now. Of several lives, any forces a read; the read decides. */
function note(connection: Connection, cursor: Cursor): void {
  const { latest } = connection
  if (latest === undefined) connection.latest = cursor
  else if (latest.epoch !== cursor.epoch) connection.stale = true
  else if (latest.seq < cursor.seq) connection.latest = cursor
}

/** A read that begins now will answer for what was heard of in other lives. True when that was anything. */
function forgetOtherLives(connection: Connection): boolean {
  const { stale, latest, epoch } = connection
  const isOther = latest !== undefined && latest.epoch !== epoch
  connection.stale = false
  if (isOther) connection.latest = undefined
  return stale || isOther
}

const isLevel = ({ stale, latest, epoch, position }: Connection): boolean =>
  !stale && (latest === undefined || (latest.epoch === epoch && latest.seq <= position))

/** An opted-in client was promised that nothing after its start is missing; overflow or age broke that while it read. */
const isBroken = ({ toldRemoved, position }: Connection, { removedThrough }: Page): boolean =>
  toldRemoved !== undefined && removedThrough > toldRemoved && removedThrough > position

export function createDelivery({
  log,
  receipts,
  acknowledged,
  onReplayed,
  onOfferedLate,
  startSpan,
  page: limit = PAGE,
  persist,
  onFault,
  pace,
  turn = () => new Promise(setImmediate),
}: DeliveryOptions): Delivery {
  /** Moves to the life that the log has now: what both surely share is not written again. */
  const adopt = async (connection: Connection): Promise<void> => {
    const { head, bases, removedThrough } = await log.open(ownerOf(connection))
    if (head.epoch !== connection.epoch) connection.position = rebase(placeOf(connection), bases)
    connection.epoch = head.epoch
    if (connection.toldRemoved !== undefined) connection.toldRemoved = removedThrough
    note(connection, head)
    acknowledged?.resume(connection)
  }

  /** The connection has got it, or can get nothing any more. */
  const advance = (connection: Connection, { seq }: Cursor, written: WriteResult): WriteResult => {
    if (written === 'refused') connection.cut()
    else connection.position = seq
    return written
  }

  /** Writes until the client falls behind. The rest is read again when it has caught up: by then some may have expired. */
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

  /** Reads and writes one page; true when the log had nothing more. */
  const readPage = async (connection: Connection, span: ReplaySpan | undefined): Promise<boolean> => {
    const page = await persist(connection, () =>
      log.read(ownerOf(connection), connection.position, limit, connection.unsettledOnly, span?.span),
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
    // Replay is paced by the client's reading: nothing is written before it has taken what waits.
    if (connection.buffered() > 0) await connection.drained()
    const read = () => readPage(connection, span)
    return pace === undefined ? read() : pace.run(connection.principal.tenant, read)
  }

  const replay = async (connection: Connection): Promise<void> => {
    if (connection.hasEnded()) return
    connection.phase = 'replaying'
    // Whether what was heard of tells how far the log goes; else only an empty page does.
    let isKnown = true
    // Whoever has nothing to read has no replay to tell of.
    let span: ReplaySpan | undefined
    while (!(isKnown && isLevel(connection))) {
      if (forgetOtherLives(connection)) isKnown = false
      span ??= startSpan?.()
      if (await readOn(connection, span)) isKnown = true
      if (connection.hasEnded()) return span?.end()
      if (!isLevel(connection)) await turn()
    }
    // No await between that look and this: an offer in between would be lost.
    connection.phase = 'live'
    connection.latest = undefined
    acknowledged?.changed(connection)
    span?.end()
  }

  /** Heard of a place it has not come to: it reads, at once or when it can. */
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
    offer: (connection, cursor, frame, isNew) => {
      const { phase, epoch, position } = connection
      if (phase === 'ended') return 'refused'
      const sameLife = phase !== 'starting' && cursor.epoch === epoch
      if (sameLife && cursor.seq <= position) {
        if (isNew) onOfferedLate(connection)
        return 'known'
      }
      if (phase === 'live' && sameLife && cursor.seq === position + 1)
        return advance(connection, cursor, connection.writeAndAsk(frame, cursor))
      hint(connection, cursor)
      return 'later'
    },
    start: async (connection, wish) => {
      const owner = ownerOf(connection)
      const opened = await persist(connection, () => log.open(owner))
      if (opened === undefined || connection.hasEnded()) return undefined
      connection.unsettledOnly =
        acknowledged !== undefined && connection.transport === 'ws' && wish.cursor === undefined
      const start = connection.unsettledOnly ? OLDEST : startOf(opened, wish)
      begin(connection, opened, start)
      if (wish.cursor !== undefined) connection.toldRemoved = opened.removedThrough
      const presented = wish.cursor === undefined ? undefined : parseCursor(wish.cursor)
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
