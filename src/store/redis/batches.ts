import { StoreAway } from '../../errors.ts'
import type { Topic } from '../../notification/topic.ts'
import { DUE_KEY } from './keys.ts'
import { isLate, refusalOf } from './refusal.ts'
import type { Command, LiveConnection, Reply, Server } from './server.ts'
import type { PendingUnit, SentUnit, Unit } from './unit.ts'

/** Sends units in groups. Units that arrive while a group is under way go into the next one. */
export interface Batches extends Disposable {
  /**
   * Replies, in order. Rejects with StoreAway for the first command that Redis refused. Also rejects with StoreAway,
   * within a second, without a connection or without replies. The outcome is then unknown, unless nothing was sent. Any
   * other error is a fault of our own code.
   */
  run(unit: Unit): Promise<readonly Reply[]>
}

interface BatchesOptions {
  readonly server: Server
  /** Groups under way at the same time. */
  readonly groups: number
  /** Replicas that must confirm what a group wrote; 0: none. */
  readonly replicas: number
  /** Called when a caller was told of a failure although something may have been written. */
  readonly onUnknown: () => void
  /** Called with each command to which Redis replied with an error. */
  readonly onError: (command: Command, error: Error) => void
}

/**
 * Counts ticks, not clock time: while this process is suspended no tick passes, so Redis is not blamed. The total is a
 * little less than a second.
 */
const TICK_MS = 50
const DEADLINE = 17
/** A command sent without an answer is carried out within this time, or never. */
export const UNKNOWN_MS = DEADLINE * TICK_MS
/** Replicas time out this much earlier, so that the answer can say so. */
const MARGIN_MS = 100
const MAX_UNITS = 500
const MAX_BYTES = 1024 * 1024
const MAX_WAITING = 50_000
const MAX_WAITING_BYTES = 256 * 1024 * 1024

const away = (): StoreAway => new StoreAway('the store is away')
const overloaded = (): StoreAway => new StoreAway('the store is overloaded: too many calls wait for it')
const late = (): StoreAway => new StoreAway('the store took too long')

const refusalIn = (replies: readonly (Reply | Error)[], { takesLate }: Unit): Error | undefined => {
  for (const reply of replies) if (reply instanceof Error && !(takesLate && isLate(reply))) return reply
  return undefined
}

export function createBatches({ server, groups, replicas, onUnknown, onError }: BatchesOptions): Batches {
  let waiting: PendingUnit[] = []
  let waitingBytes = 0
  const underWay = new Set<readonly PendingUnit[]>()
  let tick = 0
  /** Tick of the last reply of any kind. Silence counts from there. */
  let answeredAt = 0
  let isScheduled = false

  const ticksLeft = (unit: PendingUnit): number => Math.max(unit.tick, answeredAt) + DEADLINE - tick

  const refuse = (unit: PendingUnit, error: Error): void => {
    unit.isAnswered = true
    unit.reject(error)
  }

  const refuseWaiting = (error: Error): void => {
    const all = waiting
    waiting = []
    waitingBytes = 0
    for (const unit of all) refuse(unit, error)
  }

  /** Answers the caller. Returns whether the caller learned everything that was done. */
  const settle = (
    { unit, commands }: SentUnit,
    replies: readonly (Reply | Error)[],
    refusedDue: Error | undefined,
  ): boolean => {
    const refused = refusalIn(replies, unit) ?? refusedDue
    if (refused !== undefined)
      for (const [n, command] of commands.entries()) {
        const reply = replies[n]
        if (reply instanceof Error) onError(command, reply)
      }
    if (unit.isAnswered) return false
    unit.isAnswered = true
    if (refused === undefined) unit.resolve(replies)
    else unit.reject(refusalOf(refused))
    return refused === undefined
  }

  const giveUp = (group: readonly PendingUnit[], error: Error): void => {
    if (!underWay.delete(group)) return
    for (const unit of group) if (!unit.isAnswered) refuse(unit, error)
    onUnknown()
  }

  const succeed = (
    group: readonly PendingUnit[],
    sent: readonly SentUnit[],
    noteDue: readonly Command[],
    replies: readonly (Reply | Error)[],
  ): void => {
    // Without enough replicas the write does not count.
    if (replicas > 0 && !(Number(replies.at(-1)) >= replicas))
      giveUp(group, new StoreAway(`fewer than ${replicas} replicas confirmed the write`))
    else answeredAt = tick
    if (!underWay.delete(group)) return
    const [noted] = replies.slice(replies.length - noteDue.length - Number(replicas > 0))
    const refusedDue = noteDue.length > 0 && noted instanceof Error ? noted : undefined
    if (refusedDue !== undefined) for (const command of noteDue) onError(command, refusedDue)
    let from = 0
    let isWhole = true
    for (const each of sent) {
      const through = from + each.commands.length
      const isSettled = settle(each, replies.slice(from, through), each.isDue ? refusedDue : undefined)
      isWhole &&= isSettled
      from = through
    }
    if (!isWhole) onUnknown()
  }

  /** Builds the commands. Undefined when `build` threw: the caller was told. */
  const build = (
    unit: PendingUnit,
    connection: LiveConnection,
    now: number,
    due: (number | Topic)[],
  ): SentUnit | undefined => {
    const before = due.length
    try {
      const commands = unit.build(connection, now + ticksLeft(unit) * TICK_MS, due)
      return { unit, commands, isDue: due.length > before }
    } catch (error) {
      due.length = before
      refuse(
        unit,
        error instanceof Error
          ? error
          : new Error('a value other than an error was thrown', { cause: error }),
      )
      return undefined
    }
  }

  const post = (all: readonly PendingUnit[], connection: LiveConnection): void => {
    const now = connection.now()
    const due: (number | Topic)[] = []
    const sent: SentUnit[] = []
    const group: PendingUnit[] = []
    const commands: Command[] = []
    for (const unit of all) {
      const built = build(unit, connection, now, due)
      if (built === undefined) continue
      sent.push(built)
      group.push(unit)
      commands.push(...built.commands)
    }
    if (sent.length === 0) return
    underWay.add(group)
    const noteDue: readonly Command[] = due.length > 0 ? [['zadd', DUE_KEY, 'LT', ...due]] : []
    commands.push(...noteDue)
    if (replicas > 0) {
      const leftMs = Math.min(...group.map(ticksLeft)) * TICK_MS - MARGIN_MS
      commands.push(['wait', replicas, Math.max(1, leftMs)])
    }
    void connection
      .send(commands)
      .then(
        replies => succeed(group, sent, noteDue, replies),
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
    for (const unit of group) waitingBytes -= unit.bytes
    return group
  }

  const postWaiting = (): void => {
    isScheduled = false
    while (waiting.length > 0 && underWay.size < groups) {
      const { connection } = server
      if (connection === undefined) refuseWaiting(away())
      else post(take(), connection)
    }
  }

  /** Rejects callers whose time is up because Redis does not answer. */
  const onTick = (): void => {
    tick++
    if (waiting.length > 0 && server.connection === undefined) refuseWaiting(away())
    const isOverdue = (unit: PendingUnit): boolean => ticksLeft(unit) <= 0
    if (waiting.some(isOverdue)) {
      const overdue = waiting.filter(isOverdue)
      waiting = waiting.filter(unit => !isOverdue(unit))
      for (const unit of overdue) {
        waitingBytes -= unit.bytes
        refuse(unit, late())
      }
    }
    for (const group of underWay) {
      for (const unit of group) if (!unit.isAnswered && isOverdue(unit)) refuse(unit, late())
      if (group.every(({ isAnswered }) => isAnswered)) giveUp(group, late())
    }
    postWaiting()
  }
  const ticks = setInterval(onTick, TICK_MS)
  ticks.unref()

  return {
    run: unit => {
      if (server.connection === undefined) return Promise.reject(away())
      if (waiting.length >= MAX_WAITING || waitingBytes >= MAX_WAITING_BYTES)
        return Promise.reject(overloaded())
      return new Promise((resolve, reject) => {
        const { build, bytes, takesLate = false } = unit
        // Spelled out: copying a unit costs more than the rest of this call.
        waiting.push({ build, bytes, takesLate, resolve, reject, tick, isAnswered: false })
        waitingBytes += bytes
        // Sends at the end of this turn, so that its units go together.
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
