import type { Template, TemplateChanges } from './store.ts'

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
