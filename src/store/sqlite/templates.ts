import type { Database } from 'bun:sqlite'
import { createLRU } from 'lru.min'
import type { Template, Templates } from '../template.ts'
import { pageOf } from '../template.ts'
import type { Commits } from './commits.ts'

/** Taken apart and at hand; of up to 64 KiB each. */
const MAX_AT_HAND = 500
/** Read in one turn of the event loop. */
const TURN = 100

/** Read in the caller's turn; the same object as long as a template is not changed, and many others are not asked for. */
export function createTemplates({
  db,
  commits,
}: {
  readonly db: Database
  readonly commits: Pick<Commits, 'call'>
}): Templates {
  const atHand = createLRU<string, Template>({ max: MAX_AT_HAND })
  const select = db.query<{ json: string }, [string, string]>(
    'SELECT json FROM templates WHERE tenant = ? AND id = ?',
  )
  const page = db.query<{ json: string }, [string, string, number]>(
    'SELECT json FROM templates WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?',
  )
  const count = db.query<{ total: number }, [string]>(
    'SELECT count(*) AS total FROM templates WHERE tenant = ?',
  )
  // A tenant holds no colon.
  const nameOf = (tenant: string, id: string): string => `${tenant}:${id}`
  const templateOf = ({ json }: { readonly json: string }): Template => JSON.parse(json) as Template

  /** Whatever came of a change, what is at hand is not to be trusted any more. */
  const changing = async <T>(tenant: string, id: string, change: Promise<T>): Promise<T> => {
    try {
      return await change
    } finally {
      atHand.delete(nameOf(tenant, id))
    }
  }

  return {
    create: (tenant, template, most) => commits.call('createTemplate', tenant, template, most),
    get: async (tenant, id) => {
      const known = atHand.get(nameOf(tenant, id))
      const row = known === undefined ? select.get(tenant, id) : null
      if (row === null) return known
      const template = templateOf(row)
      atHand.set(nameOf(tenant, id), template)
      return template
    },
    list: async (tenant, after, limit) => {
      const total = count.get(tenant)?.total ?? 0
      const some: Template[] = []
      let bytes = 0
      for (;;) {
        const rows = page.all(tenant, some.at(-1)?.id ?? after, TURN)
        some.push(...rows.map(templateOf))
        bytes += rows.reduce((sum, { json }) => sum + json.length, 0)
        if (rows.length < TURN || some.length > limit.entries || bytes > limit.bytes)
          return { ...pageOf(some, limit), total }
        await new Promise(setImmediate)
      }
    },
    update: (tenant, id, changes) =>
      changing(tenant, id, commits.call('updateTemplate', tenant, id, changes)),
    delete: (tenant, id) => changing(tenant, id, commits.call('deleteTemplate', tenant, id)),
  }
}
