import type { Redis } from 'ioredis'
import { isReplyError } from '../../lib/redis/reply-error.ts'
import forgetConsumers from './forget-consumers.lua' with { type: 'text' }

export interface StreamEntry {
  /** `<milliseconds>-<number>` */
  readonly id: string
  /** Value of the field `data`. */
  readonly data: Buffer | undefined
}

/** An entry that was read and not acknowledged. */
export interface PendingEntry {
  readonly id: string
  /** How often a consumer began to handle it. */
  readonly tries: number
}

/** Commands of one consumer on one connection. Each rejects with the error of Redis or when the connection ends. */
export interface StreamCommands {
  /** Creates the stream and its group unless they exist. The group begins with the first entry. */
  ensureGroup(): Promise<void>
  /** Reads entries that no consumer has read; waits for the first one up to `BLOCK_MS`. */
  readNew(count: number): Promise<readonly StreamEntry[]>
  /** Pending entries of this consumer, by id. `from`: `-`, an id, or `(` and an id to exclude it. */
  pending(from: string, count: number): Promise<readonly PendingEntry[]>
  /** Reads one entry; undefined if it was deleted. */
  read(id: string): Promise<StreamEntry | undefined>
  /** Takes over entries that were idle with a consumer for `IDLE_MS`. `next` is the place for the next call. */
  claim(from: string, count: number): Promise<{ readonly next: string; readonly ids: readonly string[] }>
  /** Sets how often the entries were tried, and counts their idle time from now. */
  setTries(ids: readonly string[], tries: number): Promise<unknown>
  /** Counts the idle time of the entries from now, unless another consumer has just taken them. */
  keep(ids: readonly string[]): Promise<unknown>
  /** Lets another consumer take the entry at once. */
  giveUp(id: string, tries: number): Promise<unknown>
  acknowledge(ids: readonly string[]): Promise<unknown>
  /** Adds the entry to the stream of dead letters. */
  bury(entry: StreamEntry, reason: string): Promise<unknown>
  /** Pending entries of the whole group. */
  countPending(): Promise<number>
  forgetConsumers(): Promise<unknown>
}

interface CommandsOptions {
  readonly client: Redis
  /** Called on each reply to `readNew`. */
  readonly onAnswer: () => void
  readonly name: string
  readonly group: string
  readonly consumer: string
}

/** Shorter than the watch of the connection, whose PING waits behind a blocked read. */
const BLOCK_MS = 200
const IDLE_MS = 30_000
/** Idle time after which `keep` may take an entry. */
const KEEP_IDLE_MS = 5_000
const MAX_DEAD_LETTERS = 10_000
const CONSUMER_IDLE_MS = 3_600_000

const FIELD = 'data'

const listOf = (reply: unknown): readonly unknown[] => (Array.isArray(reply) ? reply : [])
const idsOf = (reply: unknown): readonly string[] => listOf(reply).map(String)

function entryOf(reply: unknown): StreamEntry {
  const [id, fields] = listOf(reply)
  const texts = listOf(fields)
  const at = texts.findIndex((name, n) => n % 2 === 0 && String(name) === FIELD)
  const data = at < 0 ? undefined : texts[at + 1]
  return { id: String(id), data: Buffer.isBuffer(data) ? data : undefined }
}

/** Whether the group or its stream does not exist. `UNBLOCKED`: it was deleted during a read. */
export const isGroupMissing = (error: unknown): boolean =>
  isReplyError(error) && /^(NOGROUP|UNBLOCKED)/.test(error.message)

const isGroupThere = (error: unknown): boolean => isReplyError(error) && error.message.startsWith('BUSYGROUP')

export function createCommands({ client, onAnswer, name, group, consumer }: CommandsOptions): StreamCommands {
  const countPending = async (): Promise<number> =>
    Number(listOf(await client.call('XPENDING', name, group))[0])
  const claimOwn = (idleMs: number, ids: readonly string[], ...how: readonly (string | number)[]) =>
    client.call('XCLAIM', name, group, consumer, idleMs, ...ids, ...how, 'JUSTID')

  return {
    ensureGroup: async () => {
      try {
        // Asks first: a Redis without free memory refuses to create what exists.
        await countPending()
        return
      } catch (error) {
        if (!isGroupMissing(error)) throw error
      }
      try {
        await client.call('XGROUP', 'CREATE', name, group, '0', 'MKSTREAM')
      } catch (error) {
        if (!isGroupThere(error)) throw error
      }
    },
    readNew: async count => {
      const how = ['GROUP', group, consumer, 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', name, '>']
      const reply = await client.callBuffer('XREADGROUP', ...how)
      onAnswer()
      const [stream] = listOf(reply)
      return listOf(listOf(stream)[1]).map(entryOf)
    },
    pending: async (from, count) =>
      listOf(await client.call('XPENDING', name, group, from, '+', count, consumer)).map(row => {
        const [id, , , tries] = listOf(row)
        return { id: String(id), tries: Number(tries) }
      }),
    read: async id => {
      const [entry] = listOf(await client.callBuffer('XRANGE', name, id, id))
      return entry === undefined ? undefined : entryOf(entry)
    },
    claim: async (from, count) => {
      const how = [name, group, consumer, IDLE_MS, from, 'COUNT', count, 'JUSTID']
      const [next, ids] = listOf(await client.call('XAUTOCLAIM', ...how))
      return { next: String(next), ids: idsOf(ids) }
    },
    setTries: (ids, tries) => claimOwn(0, ids, 'RETRYCOUNT', tries),
    keep: ids => claimOwn(KEEP_IDLE_MS, ids),
    giveUp: (id, tries) => claimOwn(0, [id], 'IDLE', IDLE_MS, 'RETRYCOUNT', tries),
    acknowledge: ids => client.call('XACK', name, group, ...ids),
    bury: ({ id, data = Buffer.alloc(0) }, reason) => {
      const fields = [FIELD, data, 'reason', reason, 'id', id]
      return client.call('XADD', `${name}:dead`, 'MAXLEN', '~', MAX_DEAD_LETTERS, '*', ...fields)
    },
    countPending,
    forgetConsumers: () => client.call('EVAL', forgetConsumers, 1, name, group, CONSUMER_IDLE_MS),
  }
}
