import { derivedId } from '../../dispatch/once.ts'
import { AppError, unavailable } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Handler, MessageOutcome } from '../handler.ts'
import type { Outcomes } from '../outcomes.ts'
import type { RejectedMessage } from '../trigger.ts'
import type { PendingEntry, StreamCommands, StreamEntry } from './commands.ts'
import { createHolds } from './holds.ts'
import type { StreamLines } from './stream-lines.ts'
import { createWorks, type Work } from './works.ts'

/** Handles the entries of one consumer until Redis knows the end of each: acknowledged, or a dead letter. */
export interface Entries {
  /** Entries that may be read now. 0 while the store is away or too many are under way. */
  readonly room: number
  has(id: string): boolean
  /** Takes entries read for the first time. */
  take(entries: readonly StreamEntry[]): void
  /** Takes pending entries that were read before, here or by another consumer. */
  takeAgain(entries: readonly (PendingEntry & { readonly entry: StreamEntry | undefined })[]): void
  /** Sets the connection; undefined while there is none. */
  attach(commands: StreamCommands | undefined): void
  /** Call each second. */
  upkeep(): void
  /** Resolves when all entries have ended, except those that cannot end now: another consumer may take these at once. */
  stop(): Promise<void>
}

interface EntriesOptions {
  readonly name: string
  readonly handler: Handler
  readonly outcomes: Outcomes
  readonly lines: StreamLines
  /** Whether the store takes entries now. */
  readonly isReady: () => boolean
  /** Called when there may be room again. */
  readonly onRoom: () => void
  readonly clock: Clock
  readonly stats: Pick<Stats, 'streamEntries'>
}

/** Entries that are being dispatched. */
const MAX_UNDER_WAY = 512
/** Entries being dispatched or waiting, for example while the logs of a tenant are full. */
const MAX_ENTRIES = 10_000
const MAX_BYTES = 67_108_864
const MAX_TRIES = 5
/** Times that a store which is there may refuse an entry before it no longer holds up the others. */
const MAX_REFUSALS = 5

/** Scope of what an outage of the store holds; no tenant has this name. */
const STORE = ''
const NO_DATA: RejectedMessage = {
  reason: 'invalid_shape',
  fault: { path: 'data', message: 'expected a field of the entry' },
}

const scopeOf = (id: string): string => `entry ${id}`
const tenantIn = (scope: string) => (scope === STORE ? {} : { tenant: scope })

const textOf = ({ reason, fault }: RejectedMessage): string =>
  [reason, fault?.path, fault?.message].filter(Boolean).join(': ')

/** The time in the id of an entry, never later than now: ids that producers choose hold any number. */
const timeOf = (id: string, now: number): number => Math.min(now, Number.parseInt(id, 10))

export function createEntries({
  name,
  handler,
  outcomes,
  lines,
  isReady,
  onRoom,
  clock,
  stats: { streamEntries: counts },
}: EntriesOptions): Entries {
  const holds = createHolds<Work>({
    isReady,
    onRelease: items => {
      for (const work of items.toSorted((a, b) => a.order - b.order)) begin(work)
      onRoom()
    },
  })
  const works = createWorks({
    onForgotten: ids => {
      for (const id of ids) holds.clear(scopeOf(id))
      onRoom()
    },
    clock,
  })
  /** Dead letters that are being added. */
  const burials = new Set<Promise<void>>()
  let isStopped = false

  /** Adds the letter before the acknowledgement: a crash in between repeats the letter. */
  const bury = (work: Work, reason: string): void => {
    work.death = reason
    const burial = works
      .addLetter(work, reason)
      .then(
        () => {
          counts.dead++
          works.finish(work)
        },
        error => {
          lines.letterFailed(error)
          holds.park(scopeOf(work.id), work)
        },
      )
      .finally(() => burials.delete(burial))
    burials.add(burial)
  }

  const reject = (work: Work, rejection: RejectedMessage, span?: Span): void => {
    outcomes.rejected({ stream: name, entry: work.id }, rejection, span)
    bury(work, textOf(rejection))
  }

  const giveUp = (work: Work): void => {
    lines.givenUp(work.id, work.tries)
    bury(work, `fault: ${work.tries} attempts failed`)
  }

  /** Lets an entry wait that the store did not take. The attempt does not count. */
  const wait = (work: Work, { code = 'STORE_UNAVAILABLE' }: RejectedMessage, tenant: string): void => {
    if (isReady()) work.refusals++
    const shared = code === 'STORE_UNAVAILABLE' ? STORE : tenant
    const isAlone = work.refusals > MAX_REFUSALS && shared === STORE
    const scope = isAlone ? scopeOf(work.id) : shared
    if (work.isCounted) works.setTries([work], work.tries - 1)
    work.isCounted = false
    const isFirst = holds.park(scope, work)
    if (isFirst && isAlone) lines.refused(work.id)
    else if (isFirst) lines.paused(code, tenantIn(scope))
  }

  const tryAgain = (work: Work): void => {
    work.tries++
    work.isCounted = true
    works.setTries([work], work.tries)
    counts.retried++
    holds.park(scopeOf(work.id), work)
  }

  const accept = (work: Work): void => {
    counts.accepted++
    works.finish(work)
  }

  const onEnd = (work: Work, outcome: MessageOutcome, span: Span | undefined): void => {
    switch (outcome.type) {
      case 'accepted':
        for (const scope of [STORE, outcome.tenant]) if (holds.clear(scope)) lines.resumed(tenantIn(scope))
        accept(work)
        break
      case 'replayed':
        accept(work)
        break
      case 'in_progress':
        holds.park(scopeOf(work.id), work)
        break
      case 'rejected': {
        const { rejection, tenant = STORE } = outcome
        if (rejection.reason === 'store') wait(work, rejection, tenant)
        else reject(work, rejection, span)
        break
      }
      case 'fault':
        outcomes.fault(name, outcome.error, span)
        if (work.tries >= MAX_TRIES) giveUp(work)
        else tryAgain(work)
        break
    }
  }

  /** Keeps the order: what follows an entry that waits, waits too. */
  const refuse = (tenant: string): AppError | undefined => {
    if (holds.isHeld(STORE)) return unavailable()
    return holds.isHeld(tenant) ? new AppError('STORE_FULL') : undefined
  }

  const begin = (work: Work): void => {
    const { id, data, death } = work
    const key = `stream:${name}:${id}`
    if (death !== undefined) bury(work, death)
    else if (data === undefined) reject(work, NO_DATA)
    else
      handler.handle({
        name,
        bytes: data,
        now: timeOf(id, clock.now()),
        again: { key, id: derivedId(key, 0) },
        span: {
          name: 'stream.message',
          attributes: { 'messaging.system': 'redis', 'ara.stream': name, 'ara.entry': id },
        },
        refuse,
        done: (outcome, span) => onEnd(work, outcome, span),
      })
  }

  return {
    get room() {
      const isPaused = isStopped || works.bytes >= MAX_BYTES || holds.isHeld(STORE) || !isReady()
      if (isPaused) return 0
      return Math.max(0, Math.min(MAX_UNDER_WAY - works.size + holds.waiting, MAX_ENTRIES - works.size))
    },
    has: works.has,
    take: entries => {
      // A Redis that was replaced by an older copy sends entries again.
      for (const entry of entries) if (!works.has(entry.id)) begin(works.add(entry, 1))
    },
    takeAgain: pending => {
      const alive: Work[] = []
      for (const { id, tries, entry } of pending) {
        if (works.has(id)) continue
        if (entry === undefined) {
          lines.gone(id)
          works.finish(works.add({ id, data: undefined }, tries))
        } else if (tries >= MAX_TRIES) giveUp(works.add(entry, tries))
        else alive.push(works.add(entry, tries + 1))
      }
      counts.retried += alive.length
      for (const [tries, some] of Map.groupBy(alive, work => work.tries)) works.setTries(some, tries)
      for (const work of alive) begin(work)
    },
    attach: works.attach,
    upkeep: works.upkeep,
    stop: async () => {
      isStopped = true
      holds.freeze()
      await handler.settled()
      await Promise.all(burials)
      await works.flush()
      await works.giveUp(holds.all)
    },
  }
}
