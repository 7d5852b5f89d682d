import type { Priority } from '../protocol/values.ts'
import type { PageLimit } from './page-limit.ts'

/** A message with places for variables, under an id of its tenant's. Plain data, so that it can be kept as JSON. */
export interface Template {
  readonly id: string
  readonly name: string
  readonly eventType: string
  /** JSON text as it was written. */
  readonly payloadTemplate: string
  readonly defaultPriority: Priority
  /** Seconds. */
  readonly defaultTtl?: number
  readonly description?: string
  /** Whether a variable that is not given is a fault. */
  readonly strict: boolean
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** What is absent stays as it is; null removes. */
export interface TemplateChanges extends Partial<Omit<Template, 'id' | 'createdAt' | Removable>> {
  readonly defaultTtl?: number | null
  readonly description?: string | null
  readonly updatedAt: number
}

type Removable = 'defaultTtl' | 'description'

/** The templates of each tenant; what one call has done the next one sees, on every node that shares the store. */
export interface Templates {
  /** Nothing is created when the tenant has one of that id, nor when it has `most` of them. */
  create(tenant: string, template: Template, most: number): Promise<'created' | 'exists' | 'full'>
  get(tenant: string, id: string): Promise<Template | undefined>
  /** Sorted by id in code point order, which is UTF-8 byte order; starts after the id `after`. */
  list(tenant: string, after: string, limit: PageLimit): Promise<TemplatePage>
  /** All changes or none; the template as it is then, undefined when there is none. */
  update(tenant: string, id: string, changes: TemplateChanges): Promise<Template | undefined>
  /** Whether there was one. */
  delete(tenant: string, id: string): Promise<boolean>
}

export interface TemplatePage {
  readonly templates: readonly Template[]
  /** All that the tenant has. */
  readonly total: number
  /** Whether others follow. */
  readonly hasMore: boolean
}

/** The template as it is after the changes. */
export function changed(template: Template, { defaultTtl, description, ...rest }: TemplateChanges): Template {
  const { defaultTtl: formerTtl, description: formerText, ...kept } = template
  const ttl = defaultTtl === undefined ? formerTtl : defaultTtl
  const text = description === undefined ? formerText : description
  return {
    ...kept,
    ...rest,
    ...(typeof ttl === 'number' && { defaultTtl: ttl }),
    ...(typeof text === 'string' && { description: text }),
  }
}

/** The first templates within the limit, at least one when there is one. */
export function pageOf(
  templates: readonly Template[],
  { entries, bytes }: PageLimit,
): Pick<TemplatePage, 'templates' | 'hasMore'> {
  let size = 0
  const over = templates.findIndex(({ payloadTemplate, description = '' }, n) => {
    size += payloadTemplate.length + description.length
    return n > 0 && (n >= entries || size > bytes)
  })
  return over < 0 ? { templates, hasMore: false } : { templates: templates.slice(0, over), hasMore: true }
}
