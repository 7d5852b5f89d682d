import { StoreAway } from '../../errors.ts'
import { refusalOf } from './refusal.ts'
import type { Command, LiveConnection, Reply, Server } from './server.ts'

/** What is asked together, and answered together. */
export interface Unit {
  /**
   * Called in the turn in which it is sent. Whoever asked is told no later than at `deadline` that nobody knows; by the clock of
   * Redis, milliseconds since 1970.
   */
  readonly build: (present: LiveConnection, deadline: number) => readonly Command[]
  /** About how much it takes on the line. */
  readonly bytes: number
}

/** Sends what is asked in groups: what comes while one is under way goes with the next. */
export interface Batches extends Disposable {
  /**
   * The answers in order. Rejects with StoreAway for what Redis refused first, or within a second when there is no Redis or it
   * does not answer: whether it was carried out is then unknown, unless it was not sent. Rejects with any other error for a
   * fault of our own.
   */
  run(unit: Unit): Promise<readonly Reply[]>
}

interface BatchesOptions {
  readonly server: Server
  /** Under way at the same time. */
  readonly groups: number
  /** Replicas that must have what a group has written; 0: none. */
  readonly replicas: number
  /** Whoever asked was told that nobody knows, or that it failed, though something may have been written. */
  readonly onUnknown: () => void
  /** Called with each command that Redis answered with an error. */
  readonly onError: (command: Command, error: Error) => void
}

interface PendingUnit extends Unit {
  readonly resolve: (replies: readonly Reply[]) => void
  readonly reject: (error: Error) => void
  readonly tick: number
  isOver: boolean
}

/**
 * Ticks and not a clock: while this process itself stands still none passes, so that its own silence is not taken for
 * Redis'. Together a little less than a second.
 */
const TICK_MS = 50
const DEADLINE = 17
/** What was sent and not answered is carried out within that time or never. */
export const UNKNOWN_MS = DEADLINE * TICK_MS
/** So much sooner replicas are given up, so that the answer says so. */
const MARGIN_MS = 100
const MAX_UNITS = 500
const MAX_BYTES = 1024 * 1024
const MAX_WAITING = 50_000
const MAX_WAITING_BYTES = 256 * 1024 * 1024

const away = (): StoreAway => new StoreAway('the store is away')
const overloaded = (): StoreAway => new StoreAway('too much waits for the store')
const late = (): StoreAway => new StoreAway('the store took too long')

export function createBatches({ server, groups, replicas, onUnknown, onError }: BatchesOptions): Batches {
  let waiting: PendingUnit[] = []
  let waitingBytes = 0
  const underWay = new Set<readonly PendingUnit[]>()
  let tick = 0
  /** When Redis last answered anything: silence counts from there. */
  let answeredAt = 0
  let isScheduled = false

  const ticksLeft = (asked: PendingUnit): number => Math.max(asked.tick, answeredAt) + DEADLINE - tick

  const refuse = (asked: PendingUnit, error: Error): void => {
    asked.isOver = true
    asked.reject(error)
  }

  const refuseWaiting = (error: Error): void => {
    const all = waiting
    waiting = []
    waitingBytes = 0
    for (const asked of all) refuse(asked, error)
  }

  /** Whether whoever asked was told all that was done. */
  const settle = (
    asked: PendingUnit,
    built: readonly Command[],
    replies: readonly (Reply | Error)[],
  ): boolean => {
    const refused = replies.find(reply => reply instanceof Error)
    if (refused !== undefined)
      for (const [n, command] of built.entries()) {
        const reply = replies[n]
        if (reply instanceof Error) onError(command, reply)
      }
    if (asked.isOver) return false
    asked.isOver = true
    if (refused === undefined) asked.resolve(replies)
    else asked.reject(refusalOf(refused))
    return refused === undefined
  }

  const giveUp = (group: readonly PendingUnit[], error: Error): void => {
    if (!underWay.delete(group)) return
    for (const asked of group) if (!asked.isOver) refuse(asked, error)
    onUnknown()
  }

  const succeed = (
    group: readonly PendingUnit[],
    built: readonly (readonly Command[])[],
    replies: readonly (Reply | Error)[],
  ): void => {
    // An answer that counts for nobody is none.
    if (replicas > 0 && !(Number(replies.at(-1)) >= replicas))
      giveUp(group, new StoreAway(`fewer than ${replicas} replicas have it`))
    else answeredAt = tick
    if (!underWay.delete(group)) return
    let from = 0
    let isWhole = true
    for (const [n, asked] of group.entries()) {
      const commands = built[n] ?? []
      isWhole = settle(asked, commands, replies.slice(from, from + commands.length)) && isWhole
      from += commands.length
    }
    if (!isWhole) onUnknown()
  }

  /** Undefined when there is nothing to send: its own fault has been told to the caller. */
  const build = (asked: PendingUnit, present: LiveConnection): readonly Command[] | undefined => {
    try {
      return asked.build(present, present.now() + ticksLeft(asked) * TICK_MS)
    } catch (error) {
      refuse(asked, error instanceof Error ? error : new Error('no error was thrown', { cause: error }))
      return undefined
    }
  }

  const post = (all: readonly PendingUnit[], present: LiveConnection): void => {
    const pairs = all.flatMap(asked => {
      const commands = build(asked, present)
      return commands === undefined ? [] : [[asked, commands] as const]
    })
    if (pairs.length === 0) return
    const group = pairs.map(([asked]) => asked)
    const built = pairs.map(([, commands]) => commands)
    underWay.add(group)
    const leftMs = Math.min(...group.map(ticksLeft)) * TICK_MS - MARGIN_MS
    const wait: readonly Command[] = replicas > 0 ? [['wait', replicas, Math.max(1, leftMs)]] : []
    void present
      .send([...built.flat(), ...wait])
      .then(
        replies => succeed(group, built, replies),
        error => giveUp(group, error instanceof Error ? error : away()),
      )
      .finally(postWaiting)
  }

  const take = (): readonly PendingUnit[] => {
    let bytes = 0
    let count = 0
    for (; count < waiting.length && count < MAX_UNITS; count++) {
      bytes += waiting[count]?.bytes ?? 0
      if (count > 0 && bytes > MAX_BYTES) break
    }
    const group = waiting.slice(0, count)
    waiting = waiting.slice(count)
    for (const asked of group) waitingBytes -= asked.bytes
    return group
  }

  const postWaiting = (): void => {
    isScheduled = false
    while (waiting.length > 0 && underWay.size < groups) {
      const { present } = server
      if (present === undefined) refuseWaiting(away())
      else post(take(), present)
    }
  }

  /** Nobody is kept waiting any longer by a Redis that says nothing. */
  const onTick = (): void => {
    tick++
    if (waiting.length > 0 && server.present === undefined) refuseWaiting(away())
    const isOverdue = (asked: PendingUnit): boolean => ticksLeft(asked) <= 0
    if (waiting.some(isOverdue)) {
      const overdue = waiting.filter(isOverdue)
      waiting = waiting.filter(asked => !isOverdue(asked))
      for (const asked of overdue) {
        waitingBytes -= asked.bytes
        refuse(asked, late())
      }
    }
    for (const group of underWay) {
      for (const asked of group) if (!asked.isOver && isOverdue(asked)) refuse(asked, late())
      if (group.every(({ isOver }) => isOver)) giveUp(group, late())
    }
    postWaiting()
  }
  const ticks = setInterval(onTick, TICK_MS)
  ticks.unref()

  return {
    run: unit => {
      if (server.present === undefined) return Promise.reject(away())
      if (waiting.length >= MAX_WAITING || waitingBytes >= MAX_WAITING_BYTES)
        return Promise.reject(overloaded())
      return new Promise((resolve, reject) => {
        waiting.push({ ...unit, resolve, reject, tick, isOver: false })
        waitingBytes += unit.bytes
        // At the end of this turn, so that all that is asked in it goes together.
        if (!isScheduled && underWay.size < groups) {
          isScheduled = true
          setImmediate(postWaiting)
        }
      })
    },
    [Symbol.dispose]: () => {
      clearInterval(ticks)
      refuseWaiting(away())
    },
  }
}
