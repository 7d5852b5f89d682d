import type { Database } from 'bun:sqlite'
import { createLRU } from 'lru.min'
import type { Template, Templates } from '../template.ts'
import { pageOf } from '../template.ts'
import type { Commits } from './commits.ts'
import { runRead } from './faults.ts'

/** Parsed templates in the cache; each at most 64 KiB. */
const MAX_CACHED = 500
/** Templates read in one turn of the event loop. */
const TURN = 100

interface CachedTemplate {
  readonly json: string
  readonly template: Template
  /** Version of the file when `json` was last read from it. */
  version: number
}

/** Reads in the caller's turn. Returns the same object while a template is unchanged and in the cache. */
export function createTemplates({
  db,
  commits,
}: {
  readonly db: Database
  readonly commits: Pick<Commits, 'call'>
}): Templates {
  const cache = createLRU<string, CachedTemplate>({ max: MAX_CACHED })
  // SQLite changes this number after each commit of another connection, including commits of timed-out calls.
  const fileVersion = db.query<{ data_version: number }, []>('PRAGMA data_version')
  const select = db.query<{ json: string }, [string, string]>(
    'SELECT json FROM templates WHERE tenant = ? AND id = ?',
  )
  const page = db.query<{ json: string }, [string, string, number]>(
    'SELECT json FROM templates WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?',
  )
  const count = db.query<{ total: number }, [string]>(
    'SELECT count(*) AS total FROM templates WHERE tenant = ?',
  )
  // Unique, because a tenant contains no colon.
  const nameOf = (tenant: string, id: string): string => `${tenant}:${id}`
  const templateOf = ({ json }: { readonly json: string }): Template => JSON.parse(json) as Template

  const find = (tenant: string, id: string): Template | undefined => {
    const name = nameOf(tenant, id)
    const known = cache.get(name)
    // Reads the version first, so that the next call notices a commit in between.
    const version = fileVersion.get()?.data_version ?? 0
    if (known?.version === version) return known.template
    const row = select.get(tenant, id)
    if (row === null) {
      cache.delete(name)
      return undefined
    }
    if (known?.json === row.json) {
      known.version = version
      return known.template
    }
    const template = templateOf(row)
    cache.set(name, { json: row.json, template, version })
    return template
  }

  return {
    create: (tenant, template, most) => commits.call('createTemplate', tenant, template, most),
    get: async (tenant, id) => runRead(() => find(tenant, id)),
    list: async (tenant, after, limit) => {
      const total = runRead(() => count.get(tenant)?.total ?? 0)
      const some: Template[] = []
      let bytes = 0
      for (;;) {
        const rows = runRead(() => page.all(tenant, some.at(-1)?.id ?? after, TURN))
        some.push(...rows.map(templateOf))
        bytes += rows.reduce((sum, { json }) => sum + json.length, 0)
        if (rows.length < TURN || some.length > limit.entries || bytes > limit.bytes)
          return { ...pageOf(some, limit), total }
        await new Promise(setImmediate)
      }
    },
    update: (tenant, id, changes) => commits.call('updateTemplate', tenant, id, changes),
    delete: (tenant, id) => commits.call('deleteTemplate', tenant, id),
  }
}
