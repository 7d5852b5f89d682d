import { createLRU } from 'lru.min'
import { StoreAway } from '../../errors.ts'
import type { Template, Templates } from '../template.ts'
import { applyChanges, pageOf } from '../template.ts'
import type { Batches } from './batches.ts'
import { templatesKey } from './keys.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'

interface CachedTemplate {
  readonly text: string
  readonly template: Template
}

const BYTES = 300
const LISTED_AT_ONCE = 50
/** Changes by other callers that an update tolerates. */
const MAX_TRIES = 100
/** Parsed templates in the cache; each at most 128 KiB. */
const MAX_CACHED = 1_000

/** Keeps templates as JSON. Reads them anew each time, so that every node sees each change at once. */
export function createTemplates({
  commits,
  reads,
}: {
  readonly commits: Batches
  readonly reads: Batches
}): Templates {
  const cache = createLRU<string, CachedTemplate>({ max: MAX_CACHED })

  /** Returns the same object while the text is the same. Callers can cache what they derive from it. */
  const parse = (key: string, id: string, text: string): Template => {
    const name = `${key} ${id}`
    const known = cache.get(name)
    if (known?.text === text) return known.template
    // `create` or `update` wrote this text.
    const template = JSON.parse(text) as Template
    cache.set(name, { text, template })
    return template
  }

  const textOf = async (key: string, id: string): Promise<string | undefined> => {
    const [text] = await reads.run({ bytes: BYTES, build: () => [['hget', key, id]] })
    return typeof text === 'string' ? text : undefined
  }

  const listSome = async (key: string, ids: readonly string[]): Promise<readonly Template[]> => {
    const [texts] = await reads.run({ bytes: BYTES, build: () => [['hmget', key, ...ids]] })
    // A template deleted in between is null.
    return (Array.isArray(texts) ? texts : []).flatMap((text, n) =>
      typeof text === 'string' ? [parse(key, ids[n] ?? '', text)] : [],
    )
  }

  /** Returns false when another caller changed the template in between. */
  const replace = async (key: string, id: string, before: string, after: string): Promise<boolean> => {
    const [replaced] = await commits.run({
      bytes: before.length + after.length,
      build: () => [run(SCRIPTS.replace, [key], id, before, after)],
    })
    return replaced === 1
  }

  return {
    create: async (tenant, template, most) => {
      const text = JSON.stringify(template)
      const [created] = await commits.run({
        bytes: text.length,
        build: () => [run(SCRIPTS.create, [templatesKey(tenant)], template.id, text, most)],
      })
      return created === 'created' || created === 'exists' ? created : 'full'
    },
    get: async (tenant, id) => {
      const key = templatesKey(tenant)
      const text = await textOf(key, id)
      return text === undefined ? undefined : parse(key, id, text)
    },
    list: async (tenant, after, limit) => {
      const key = templatesKey(tenant)
      const [ids] = await reads.run({ bytes: BYTES, build: () => [['hkeys', key]] })
      const all = (Array.isArray(ids) ? ids : []).map(String)
      const start = Buffer.from(after)
      const sorted = all
        .map(id => Buffer.from(id))
        .filter(id => Buffer.compare(id, start) > 0)
        .sort(Buffer.compare)
        .map(String)
      const some: Template[] = []
      let bytes = 0
      for (let from = 0; from < sorted.length; from += LISTED_AT_ONCE) {
        const next = await listSome(key, sorted.slice(from, from + LISTED_AT_ONCE))
        some.push(...next)
        bytes += next.reduce((sum, { payloadTemplate }) => sum + payloadTemplate.length, 0)
        if (some.length > limit.entries || bytes > limit.bytes) break
      }
      return { ...pageOf(some, limit), total: all.length }
    },
    update: async (tenant, id, changes) => {
      const key = templatesKey(tenant)
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await textOf(key, id)
        if (before === undefined) return undefined
        const after = JSON.stringify(applyChanges(parse(key, id, before), changes))
        if (await replace(key, id, before, after)) return parse(key, id, after)
      }
      throw new StoreAway('other callers keep changing the template')
    },
    delete: async (tenant, id) => {
      const [deleted] = await commits.run({
        bytes: BYTES,
        build: () => [['hdel', templatesKey(tenant), id]],
      })
      return deleted === 1
    },
  }
}
