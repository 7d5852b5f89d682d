import type { Priority } from '../protocol/values.ts'
import type { PageLimit } from './page-limit.ts'

/**
 * A message with placeholders for variables, with an id that is unique within its tenant. Plain data: a store may keep it
 * as JSON.
 */
export interface Template {
  readonly id: string
  readonly name: string
  readonly eventType: string
  /** JSON text, exactly as the caller wrote it. */
  readonly payloadTemplate: string
  readonly defaultPriority: Priority
  /** Time to live, seconds. */
  readonly defaultTtl?: number
  readonly description?: string
  /** Whether a missing variable is an error. */
  readonly strict: boolean
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** Changes to a template. An absent field stays as it is; null removes it. */
export interface TemplateChanges extends Partial<Omit<Template, 'id' | 'createdAt' | Removable>> {
  readonly defaultTtl?: number | null
  readonly description?: string | null
  readonly updatedAt: number
}

type Removable = 'defaultTtl' | 'description'

/** The templates of each tenant. A call MUST see what earlier calls changed, on every node that shares the store. */
export interface Templates {
  /** Creates the template. `exists`: the tenant already has this id. `full`: the tenant already has `most` templates. */
  create(tenant: string, template: Template, most: number): Promise<'created' | 'exists' | 'full'>
  get(tenant: string, id: string): Promise<Template | undefined>
  /** Sorted by id in code point order, which is UTF-8 byte order; starts after the id `after`. */
  list(tenant: string, after: string, limit: PageLimit): Promise<TemplatePage>
  /** Applies all changes or none. Resolves with the changed template, or undefined when there is none with this id. */
  update(tenant: string, id: string, changes: TemplateChanges): Promise<Template | undefined>
  /** Resolves with whether the template existed. */
  delete(tenant: string, id: string): Promise<boolean>
}

export interface TemplatePage {
  readonly templates: readonly Template[]
  /** Number of templates of the tenant. */
  readonly total: number
  /** Whether more templates follow this page. */
  readonly hasMore: boolean
}

/** Returns the template with the changes applied. */
export function applyChanges(
  template: Template,
  { defaultTtl, description, ...rest }: TemplateChanges,
): Template {
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

/** The first templates that fit the limit; at least one if there is any. */
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
