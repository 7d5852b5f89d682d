import type { Topic } from '../../notification/topic.ts'
import type { Log } from '../store.ts'
import type { Batches } from './batches.ts'
import { DUE_KEY, SIZES_KEY } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import type { Notes } from './notes.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

/** Physically removes what has ended, and knows how much is left. */
export interface Cleaning extends Disposable {
  readonly totals: Log['totals']
}

interface CleaningOptions {
  readonly batches: Batches
  readonly scripts: LogScripts
  readonly notes: Notes
  readonly cleanupMs: number
  /** Milliseconds since 1970; undefined: by the clock of Redis. */
  readonly time: (() => number) | undefined
}

const OWNERS_AT_ONCE = 100
/** Whoever asks how much there is does not wait for more than that to be cleaned. */
const STEPS_FOR_TOTALS = 10
const BYTES = 200

export function createCleaning({ batches, scripts, notes, cleanupMs, time }: CleaningOptions): Cleaning {
  let isClosed = false
  let isCleaning = false

  const clean = async (owner: Topic): Promise<readonly (string | number)[]> => {
    await notes.flush(owner)
    const [next] = await scripts.ask(owner, SCRIPTS.clean, [])
    return Number(next) < 0 ? [] : [Math.ceil(Number(next)), owner]
  }

  /** Whoever takes a user out of the index cleans its log, so that what leaves it is counted once. Whether there were any. */
  const step = async (): Promise<boolean> => {
    const [taken] = await batches.run({
      bytes: BYTES,
      build: () => [run(SCRIPTS.take, [DUE_KEY], time?.() ?? '', OWNERS_AT_ONCE)],
    })
    // As they were written by an append.
    const owners = (Array.isArray(taken) ? taken : []) as readonly Topic[]
    if (owners.length === 0) return false
    const cleaned = await Promise.allSettled(owners.map(clean))
    // Of those that could not be cleaned it is tried again.
    const next = cleaned.flatMap((result, n) =>
      result.status === 'fulfilled' ? result.value : [0, owners[n] ?? ''],
    )
    if (next.length > 0)
      await batches.run({ bytes: owners.length * BYTES, build: () => [['zadd', DUE_KEY, 'LT', ...next]] })
    return cleaned.every(({ status }) => status === 'fulfilled')
  }

  const cleanUp = async (): Promise<void> => {
    if (isCleaning) return
    isCleaning = true
    // What fails today is done the next time.
    while (!isClosed && (await step().catch(() => false)));
    isCleaning = false
  }

  const timer = setInterval(() => void cleanUp(), cleanupMs)
  timer.unref()

  return {
    totals: async () => {
      for (let n = 0; n < STEPS_FOR_TOTALS && (await step()); n++);
      await notes.flushAll()
      const [reply] = await batches.run({ bytes: BYTES, build: () => [run(SCRIPTS.sizes, [SIZES_KEY])] })
      const [messages = 0, users = 0] = Array.isArray(reply) ? reply.map(Number) : []
      return { messages, users }
    },
    [Symbol.dispose]: () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}
