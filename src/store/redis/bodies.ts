import { type Topic, tenantOf } from '../../notification/topic.ts'
import { referenceTo, referredId } from '../push.ts'
import type { Draft } from '../store.ts'
import type { Batches } from './batches.ts'
import { bodyKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command } from './server.ts'

/** A body as a log stores it: the text, or a reference to a text stored once for many users. */
export interface StoredBody {
  readonly text: string
  /** Bytes that the log counts for the body. */
  readonly bytes: number
}

/** An entry whose body may be a reference. */
interface UnresolvedEntry {
  readonly seq: number
  readonly body: string
}

/** Minimum saving: sharing costs a second key and one more round trip per replay. */
const WORTH_BYTES = 8_192
const SHARED_BYTES = 1_024
const BYTES = 300

/** Number of users per notification, for notifications whose body is stored once. */
export type Sharers = ReadonlyMap<string, number>

export const NO_SHARERS: Sharers = new Map()

/** Chooses the shared bodies among the drafts of one call. */
export function sharersOf(drafts: readonly Draft[]): Sharers {
  if (drafts.length < 2) return NO_SHARERS
  const sharers = new Map<string, number>()
  for (const [id, same] of Map.groupBy(drafts, draft => draft.id)) {
    const length = same[0]?.body.length ?? 0
    if (length >= SHARED_BYTES && (same.length - 1) * length >= WORTH_BYTES) sharers.set(id, same.length)
  }
  return sharers
}

/** Bytes of a body that count for one user's log. */
export const bytesOf = ({ id, body }: Draft, sharers: Sharers): number =>
  Math.ceil(Buffer.byteLength(body) / (sharers.get(id) ?? 1))

export const storedBodyOf = (draft: Draft, sharers: Sharers): StoredBody => ({
  text: sharers.has(draft.id) ? referenceTo(draft.id, Buffer.byteLength(draft.body)) : draft.body,
  bytes: bytesOf(draft, sharers),
})

/** Writes the shared bodies of these drafts. A shared body outlives every entry that refers to it. */
export function writeBodies(drafts: readonly Draft[], sharers: Sharers, keptMs: number): readonly Command[] {
  const written = new Map<string, string>()
  for (const { owner, id, body } of drafts)
    if (sharers.has(id)) written.set(bodyKey(tenantOf(owner), id), body)
  return [...written].flatMap(([key, body]): Command[] => [
    // NX: a retry may carry another text, but entries refer to the first.
    ['set', key, body, 'NX'],
    ['pexpire', key, keptMs],
  ])
}

/** Replaces references with the bodies they name. */
export interface Bodies {
  /** Undefined when a body is missing. Its entries are then dropped, and the log gets a new epoch. */
  resolve<E extends UnresolvedEntry>(owner: Topic, entries: readonly E[]): Promise<readonly E[] | undefined>
}

export function createBodies({
  reads,
  scripts,
}: {
  readonly reads: Batches
  readonly scripts: LogScripts
}): Bodies {
  const find = async (owner: Topic, ids: readonly string[]): Promise<readonly unknown[]> => {
    const keys = ids.map(id => bodyKey(tenantOf(owner), id))
    // One command per key: in a cluster each key has its own slot.
    return reads.run({ bytes: keys.length * BYTES, build: () => keys.map(key => ['get', key]) })
  }

  return {
    resolve: async (owner, entries) => {
      const ids = new Set(entries.flatMap(({ body }) => referredId(body) ?? []))
      if (ids.size === 0) return entries
      const names = [...ids]
      const texts = await find(owner, names)
      const byId = new Map(names.map((id, n) => [id, texts[n]]))
      const lost: number[] = []
      const resolved = entries.map(entry => {
        const id = referredId(entry.body)
        const text = id === undefined ? entry.body : byId.get(id)
        if (typeof text !== 'string') lost.push(entry.seq)
        return { ...entry, body: String(text) }
      })
      if (lost.length === 0) return resolved
      await scripts.ask(owner, SCRIPTS.lose, lost)
      return undefined
    },
  }
}
