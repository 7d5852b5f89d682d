import type { Topic } from '../../notification/topic.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { Batches } from './batches.ts'
import { logKeys } from './keys.ts'
import type { Script } from './scripts.ts'
import { type Command, type LiveConnection, newName, type Reply, run } from './server.ts'

/** What one log takes. */
export interface LogSize {
  readonly entries: number
  /** With everything that is kept for the log, as the limits count it. */
  readonly bytes: number
}

/** What a script says of its own. */
export type Answer = readonly unknown[]

/** Runs the scripts of users' logs, and tells what they tell besides their answer. */
export interface LogScripts {
  command(present: LiveConnection, owner: Topic, script: Script, given: readonly (string | number)[]): Command
  /** What a reply says beyond what all of them say. */
  answer(owner: Topic, reply: Reply): { readonly more: boolean; readonly answer: Answer }
  /** Sends one and resolves with its answer, however many steps that takes. */
  ask(owner: Topic, script: Script, given: readonly (string | number)[]): Promise<Answer>
}

interface LogScriptsOptions {
  readonly batches: Batches
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  /** Called with what a log takes, when that has changed. */
  readonly onSize: (owner: Topic, size: LogSize) => void
}

const BYTES = 500

export function createLogScripts({ batches, limits, observer, onSize }: LogScriptsOptions): LogScripts {
  const { retentionMs, acknowledged } = limits

  const command: LogScripts['command'] = (present, owner, script, given) =>
    run(
      script,
      logKeys(owner),
      present.time(),
      present.life,
      newName(),
      retentionMs,
      `${acknowledged ? 'a' : ''}${present.mayEvict() ? 'e' : ''}`,
      ...given,
    )

  /** A digit for each entry that has left; see `leave` in log.lua. */
  const tellGone = (owner: Topic, digits: string): void => {
    for (const digit of digits) {
      const told = Number(digit)
      observer.left(owner, {
        state: told >= 4 ? 'dropped' : 'expired',
        unsettled: (told & 2) > 0,
        pending: (told & 1) > 0,
      })
    }
  }

  const answer: LogScripts['answer'] = (owner, reply) => {
    if (!Array.isArray(reply)) throw new Error('Redis answered something else than its script does')
    const [entries, bytes, gone, tracked, more, ...rest]: unknown[] = reply
    if (Number(entries) >= 0) onSize(owner, { entries: Number(entries), bytes: Number(bytes) })
    tellGone(owner, String(gone))
    if (Number(tracked) > 0) observer.tracked(owner, Number(tracked))
    return { more: more === 1, answer: rest }
  }

  return {
    command,
    answer,
    ask: async (owner, script, given) => {
      for (;;) {
        const [reply] = await batches.run({
          bytes: BYTES,
          build: present => [command(present, owner, script, given)],
        })
        const { more, answer: found } = answer(owner, reply)
        if (!more) return found
      }
    },
  }
}
