import type { Clock } from '../lib/clock.ts'
import type { Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Draft, Log, Store, StoreLimits } from './store.ts'
import { UserLog } from './user-log.ts'

/** Logs looked at in one turn of the event loop. */
const TURN = 1_000

/** Eight characters of [A-Za-z0-9_-]. */
const newLife = (): Epoch => Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

/**
 * Makes a text of one piece, in place. It was put together from slices of a request, and as long as nobody asks for its
 * bytes the engine keeps the slices, and with them the whole request.
 */
const flatten = (text: string): number => Buffer.byteLength(text)

/** Keeps the logs in this process: nothing outlives it, and its life's name tells clients so. */
export function memoryStore({
  limits,
  clock,
}: {
  readonly limits: StoreLimits
  readonly clock: Clock
}): Store {
  const logs = new Map<Topic, UserLog>()
  /** What an owner without a log is told, and the epoch of the logs made from now on. */
  let life = newLife()
  let isClosed = false
  let isCleaning = false

  const find = (owner: Topic): UserLog => logs.get(owner) ?? new UserLog(life, limits)

  const add = (draft: Draft, now: number) => {
    const userLog = find(draft.owner)
    logs.set(draft.owner, userLog)
    flatten(draft.body)
    return userLog.append(draft, now)
  }

  /** Visits every log without holding up the event loop. */
  const visit = async (see: (userLog: UserLog, owner: Topic) => void): Promise<void> => {
    let seen = 0
    for (const [owner, userLog] of logs) {
      see(userLog, owner)
      if (++seen % TURN === 0) await new Promise(setImmediate)
      if (isClosed) return
    }
  }

  // A log that comes back begins at 1 again: under another name, or a cursor of the forgotten one would seem valid in it.
  const forget = (owner: Topic): void => {
    logs.delete(owner)
    life = newLife()
  }

  const cleanUp = async (): Promise<void> => {
    if (isCleaning) return
    isCleaning = true
    await visit((userLog, owner) => {
      if (userLog.isOver(clock.now())) forget(owner)
    })
    isCleaning = false
  }

  const log: Log = {
    append: async drafts => {
      const now = clock.now()
      return drafts.map(draft => add(draft, now))
    },
    open: async owner => find(owner).open(clock.now()),
    count: async (owner, after) => find(owner).count(after, clock.now()),
    read: async (owner, after, limit) => find(owner).read(after, limit, clock.now()),
    received: (owner, cursor) => logs.get(owner)?.received(cursor),
    totals: async () => {
      let messages = 0
      let users = 0
      await visit(userLog => {
        const size = userLog.size(clock.now())
        messages += size
        if (size > 0) users++
      })
      return { messages, users }
    },
  }

  const timer = setInterval(() => void cleanUp(), limits.cleanupMs)
  timer.unref()

  return {
    kind: 'memory',
    log,
    [Symbol.asyncDispose]: async () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}
