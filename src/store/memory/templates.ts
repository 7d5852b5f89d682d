import type { Template, Templates } from '../template.ts'
import { applyChanges, pageOf } from '../template.ts'

/** Copies a text: a slice would keep the whole request in memory. */
const copy = (text: string): string => Buffer.from(text).toString()

const own = (template: Template): Template => ({
  ...template,
  payloadTemplate: copy(template.payloadTemplate),
})

/** Keeps templates in this process; each node has its own. */
export function memoryTemplates(): Templates {
  const tenants = new Map<string, Map<string, Template>>()

  return {
    create: async (tenant, template, most) => {
      const templates = tenants.get(tenant) ?? new Map<string, Template>()
      if (templates.has(template.id)) return 'exists'
      if (templates.size >= most) return 'full'
      templates.set(template.id, own(template))
      tenants.set(tenant, templates)
      return 'created'
    },
    get: async (tenant, id) => tenants.get(tenant)?.get(id),
    list: async (tenant, after, limit) => {
      const all = [...(tenants.get(tenant)?.values() ?? [])]
      const start = Buffer.from(after)
      const rest = all
        .map(template => ({ template, bytes: Buffer.from(template.id) }))
        .filter(({ bytes }) => Buffer.compare(bytes, start) > 0)
        .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
        .map(({ template }) => template)
      return { ...pageOf(rest, limit), total: all.length }
    },
    update: async (tenant, id, changes) => {
      const templates = tenants.get(tenant)
      const template = templates?.get(id)
      if (template === undefined) return undefined
      const after = own(applyChanges(template, changes))
      templates?.set(id, after)
      return after
    },
    delete: async (tenant, id) => {
      const templates = tenants.get(tenant)
      const existed = templates?.delete(id) ?? false
      if (templates?.size === 0) tenants.delete(tenant)
      return existed
    },
  }
}
