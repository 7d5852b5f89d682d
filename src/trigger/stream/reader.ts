import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../../lib/time/clock.ts'
import { isGroupMissing, type PendingEntry, type StreamCommands } from './commands.ts'
import type { Entries } from './entries.ts'
import { createReadSize } from './read-size.ts'

/** Reads entries over one connection after another: pending ones first, then those of dead consumers, then new ones. */
export interface Reader {
  /** Reads until the signal aborts. Rejects when the connection is of no use. */
  run(commands: StreamCommands, signal: AbortSignal): Promise<void>
  /** Reads at once if there is room now. */
  wake(): void
}

interface ReaderOptions {
  readonly entries: Pick<Entries, 'room' | 'has' | 'take' | 'takeAgain'>
  readonly onClaimed: (entries: number) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/** Interval at which entries of other consumers are looked at, milliseconds. */
const CLAIM_MS = 1_000
/** Interval at which a paused reader looks whether the store is back, milliseconds. */
const LOOK_MS = 100
const PAGE = 128
const START = '-'
const CLAIM_START = '0-0'

const bytesOf = (entries: readonly ({ readonly data: Buffer | undefined } | undefined)[]): number =>
  entries.reduce((sum, entry) => sum + (entry?.data?.length ?? 0), 0)

export function createReader({ entries, onClaimed, clock }: ReaderOptions): Reader {
  const size = createReadSize()
  let woken = Promise.withResolvers<void>()
  /** Place in the pending entries of this consumer; undefined when all were read. */
  let pendingFrom: string | undefined = START
  let claimFrom = CLAIM_START
  let claimsAt = 0

  const room = (): number => Math.min(entries.room, size.count)

  const readNew = async (commands: StreamCommands): Promise<void> => {
    const found = await commands.readNew(room())
    size.note(found.length, bytesOf(found))
    entries.take(found)
  }

  /** Takes as many as fit; the others stay pending. Returns how many it took. */
  const takeAgain = async (commands: StreamCommands, pending: readonly PendingEntry[]): Promise<number> => {
    const some = pending.slice(0, room())
    const found = await Promise.all(some.map(({ id }) => commands.read(id)))
    size.note(found.length, bytesOf(found))
    entries.takeAgain(some.map((each, n) => ({ ...each, entry: found[n] })))
    return some.length
  }

  const readPending = async (commands: StreamCommands, from: string): Promise<void> => {
    const page = await commands.pending(from, PAGE)
    const rest = page.filter(({ id }) => !entries.has(id))
    const taken = await takeAgain(commands, rest)
    const isDone = page.length < PAGE && taken === rest.length
    const last = taken < rest.length ? rest[taken - 1] : page.at(-1)
    if (isDone) pendingFrom = undefined
    else if (last !== undefined) pendingFrom = `(${last.id}`
  }

  const claim = async (commands: StreamCommands): Promise<void> => {
    const { next, ids } = await commands.claim(claimFrom, room())
    claimFrom = next
    if (next === CLAIM_START) claimsAt = clock.monotonic() + CLAIM_MS
    const claimed = new Set(ids.filter(id => !entries.has(id)))
    const [first] = claimed
    if (first === undefined) return
    onClaimed(claimed.size)
    const page = await commands.pending(first, PAGE + claimed.size)
    await takeAgain(
      commands,
      page.filter(({ id }) => claimed.has(id)),
    )
  }

  const step = (commands: StreamCommands): Promise<void> => {
    if (pendingFrom !== undefined) return readPending(commands, pendingFrom)
    return clock.monotonic() >= claimsAt ? claim(commands) : readNew(commands)
  }

  const sleep = async (): Promise<void> => {
    woken = Promise.withResolvers()
    await Promise.race([woken.promise, delay(LOOK_MS)])
  }

  return {
    run: async (commands, signal) => {
      pendingFrom = START
      while (!signal.aborted) {
        try {
          await (room() > 0 ? step(commands) : sleep())
        } catch (error) {
          if (!isGroupMissing(error)) throw error
          await commands.ensureGroup()
        }
      }
    },
    wake: () => woken.resolve(),
  }
}
