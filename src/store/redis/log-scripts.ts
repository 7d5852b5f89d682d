import type { Topic } from '../../notification/topic.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { Batches } from './batches.ts'
import { logKeys } from './keys.ts'
import { createNames } from './names.ts'
import type { Script } from './scripts.ts'
import { type Command, type LiveConnection, type Reply, run } from './server.ts'

/** Size of one log. */
export interface LogSize {
  readonly entries: number
  /** Everything stored for the log, as the limits count it. */
  readonly bytes: number
}

/** The part of a reply that only this script returns. */
export type Answer = readonly unknown[]

/** Runs the scripts of users' logs. Passes on the sizes and events in their replies. */
export interface LogScripts {
  command(
    connection: LiveConnection,
    owner: Topic,
    script: Script,
    given: readonly (string | number)[],
  ): Command
  /** Separates a script's own answer from the part that all replies share. */
  answer(owner: Topic, reply: Reply): { readonly more: boolean; readonly answer: Answer }
  /** Sends the script until it answers, and resolves with the answer. */
  ask(owner: Topic, script: Script, given: readonly (string | number)[]): Promise<Answer>
}

interface LogScriptsOptions {
  readonly batches: Batches
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  /** Called with the new size of a log, when the size has changed. */
  readonly onSize: (owner: Topic, size: LogSize) => void
}

const BYTES = 500
/** Values at the start of each reply that all scripts share. */
const SHARED = 5

export function createLogScripts({ batches, limits, observer, onSize }: LogScriptsOptions): LogScripts {
  const { retentionMs, acknowledged } = limits
  const newName = createNames()

  const command: LogScripts['command'] = (connection, owner, script, given) =>
    run(
      script,
      logKeys(owner),
      connection.time(),
      connection.life,
      newName(),
      retentionMs,
      `${acknowledged ? 'a' : ''}${connection.mayEvict() ? 'e' : ''}`,
      ...given,
    )

  /** Reports each entry that left. Each digit is explained at `leave` in log.lua. */
  const tellGone = (owner: Topic, digits: string): void => {
    for (const digit of digits) {
      const flags = Number(digit)
      observer.left(owner, {
        state: flags >= 4 ? 'dropped' : 'expired',
        unsettled: (flags & 2) > 0,
        pending: (flags & 1) > 0,
      })
    }
  }

  const answer: LogScripts['answer'] = (owner, reply) => {
    const values = typeof reply === 'string' ? reply.split(' ') : reply
    if (!Array.isArray(values)) throw new Error('Redis sent an unexpected reply to a script')
    const entries = Number(values[0])
    if (entries >= 0) onSize(owner, { entries, bytes: Number(values[1]) })
    tellGone(owner, String(values[2]))
    const tracked = Number(values[3])
    if (tracked > 0) observer.tracked(owner, tracked)
    return { more: Number(values[4]) === 1, answer: values.slice(SHARED) }
  }

  return {
    command,
    answer,
    ask: async (owner, script, given) => {
      for (;;) {
        const [reply] = await batches.run({
          bytes: BYTES,
          build: connection => [command(connection, owner, script, given)],
        })
        const { more, answer: found } = answer(owner, reply)
        if (!more) return found
      }
    },
  }
}
