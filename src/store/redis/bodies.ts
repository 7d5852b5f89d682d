import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Draft } from '../store.ts'
import type { Batches } from './batches.ts'
import { bodyKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command } from './server.ts'

/** A body as a log holds it: the text, or where the text is kept once for many users. */
export interface KeptBody {
  readonly text: string
  /** Bytes that count for the log. */
  readonly bytes: number
}

/** An entry whose body may still be a reference. */
interface Referring {
  readonly seq: number
  readonly body: string
}

/** A NUL, the size, a blank, the notification's id. No body begins with a NUL: it is JSON. */
const REFERENCE = /^\0(\d+) (.*)$/s
/** Below, a second key costs more than it saves. */
const SHARED_BY = 8
const SHARED_LENGTH = 1_024
const BYTES = 300
const NONE: Sharers = new Map()

/** Notifications whose body is kept once, with the number of users. */
export type Sharers = ReadonlyMap<string, number>

/** Chooses the shared bodies among the drafts of one call. */
export function sharersOf(drafts: readonly Draft[]): Sharers {
  if (drafts.length < SHARED_BY) return NONE
  const sharers = new Map<string, number>()
  for (const { id, body } of drafts)
    if (body.length >= SHARED_LENGTH) sharers.set(id, (sharers.get(id) ?? 0) + 1)
  for (const [id, count] of sharers) if (count < SHARED_BY) sharers.delete(id)
  return sharers
}

/** Bytes of a body that count for the log of one user. */
export const bytesOf = ({ id, body }: Draft, sharers: Sharers): number =>
  Math.ceil(body.length / (sharers.get(id) ?? 1))

export const keptBody = (draft: Draft, sharers: Sharers): KeptBody => ({
  text: sharers.has(draft.id) ? `\0${draft.body.length} ${draft.id}` : draft.body,
  bytes: bytesOf(draft, sharers),
})

/** Writes the shared bodies of some drafts. They outlive every entry that refers to them. */
export function writeBodies(drafts: readonly Draft[], sharers: Sharers, keptMs: number): readonly Command[] {
  const written = new Map<string, string>()
  for (const { owner, id, body } of drafts)
    if (sharers.has(id)) written.set(bodyKey(tenantOf(owner), id), body)
  return [...written].flatMap(([key, body]): Command[] => [
    // NX: a retry may have another text, and entries refer to the first.
    ['set', key, body, 'NX'],
    ['pexpire', key, keptMs],
  ])
}

/** Replaces references by the bodies they name. */
export interface Bodies {
  /** Undefined when a body is gone: its entries are lost then, and the log has another epoch. */
  resolve<E extends Referring>(owner: Topic, entries: readonly E[]): Promise<readonly E[] | undefined>
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
    // One command each: in a cluster each key has a slot of its own.
    return reads.run({ bytes: keys.length * BYTES, build: () => keys.map(key => ['get', key]) })
  }

  return {
    resolve: async (owner, entries) => {
      const ids = new Set(entries.flatMap(({ body }) => REFERENCE.exec(body)?.[2] ?? []))
      if (ids.size === 0) return entries
      const names = [...ids]
      const texts = await find(owner, names)
      const byId = new Map(names.map((id, n) => [id, texts[n]]))
      const lost: number[] = []
      const resolved = entries.map(entry => {
        const id = REFERENCE.exec(entry.body)?.[2]
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
