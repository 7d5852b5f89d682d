import { AppError, StoreAway, unavailable } from '../errors.ts'
import { MAX_FAULTS } from '../lib/collections/bounded-list.ts'
import { createSizedCache } from '../lib/collections/sized-cache.ts'
import type { Fault } from '../lib/json/document.ts'
import { createUuids } from '../lib/uuid.ts'
import {
  type Content,
  MAX,
  notificationOf,
  type Origin,
  type TemplateContent,
} from '../notification/content.ts'
import type { Notification } from '../notification/notification.ts'
import { render } from '../notification/render.ts'
import { type CompiledTemplate, compile } from '../notification/template.ts'
import type { Template, Templates } from '../store/template.ts'

/** The reason why a send with a template makes no notification. */
export interface ComposeError {
  readonly reason: 'unknown_template' | 'variables' | 'too_large' | 'store'
  /** Faults by path inside the send. */
  readonly faults: readonly Fault[]
  /** The error of the store. */
  readonly cause?: unknown
}

/** Result of a template look-up; undefined if the tenant has no such template. */
export type Found = Template | ComposeError | undefined

/** A send as it was read. */
interface Draft extends Origin {
  readonly content: Content
  /** JSON texts of its values by path. `at` prefixes the content: `''`, `event.`, `notifications[3].`. */
  readonly raw: ReadonlyMap<string, string>
  readonly at: string
}

/** Turns sends into notifications, for HTTP and Redis alike. */
export interface Composer {
  /** Never rejects: an outage of the store is a ComposeError. */
  find(tenant: string, id: string): Promise<Found>
  /** Composes a notification. `found` is the look-up of the template id, and ignored without one. */
  compose(draft: Draft, found?: Found): Notification | ComposeError
}

/** Bounds of the cache of compiled templates, for all tenants. */
const MAX_COMPILED_BYTES = 32 * 1024 * 1024
const MAX_COMPILED = 10_000

/** Path of a key; the key itself at the top, where a copy would be hashed for each look-up. */
const keyAt = (at: string, key: string): string => (at === '' ? key : at + key)

const UNKNOWN: ComposeError = {
  reason: 'unknown_template',
  faults: [{ path: 'template_id', message: 'no such template' }],
}
const NO_OBJECT: ComposeError = {
  reason: 'variables',
  faults: [{ path: 'variables', message: 'expected an object' }],
}
const TOO_LARGE: ComposeError = {
  reason: 'too_large',
  faults: [{ path: 'template_id', message: `rendered to more than ${MAX.payloadBytes} bytes` }],
}

const missing = (names: readonly string[]): ComposeError => ({
  reason: 'variables',
  faults: names
    .slice(0, MAX_FAULTS)
    .map(name => ({ path: `variables.${name}`, message: 'the template needs it' })),
})

/** The error answer to a send that made no notification. */
export function refusalOf({ reason, faults, cause }: ComposeError): AppError {
  switch (reason) {
    case 'unknown_template':
    case 'variables':
      return new AppError('VALIDATION_ERROR', {
        status: 400,
        message: 'The template cannot be used like this.',
        details: faults,
      })
    case 'too_large':
      return new AppError('SUBSTITUTION_FAILED', {
        message: `The template rendered to more than ${MAX.payloadBytes} bytes.`,
      })
    case 'store':
      return unavailable(cause)
  }
}

export function createComposer({ templates }: { readonly templates: Pick<Templates, 'get'> }): Composer {
  // Keyed by the text: a compiled template depends on nothing else and is never stale.
  const compiled = createSizedCache<string, CompiledTemplate>({
    maxBytes: MAX_COMPILED_BYTES,
    maxEntries: MAX_COMPILED,
    bytesOf: (text, compiled) => compiled.bytes + (compiled.text === text ? 0 : text.length),
  })

  const newId = createUuids()
  const originOf = ({ source, now, id = newId() }: Draft) => ({ source, now, id })

  const compiledOf = ({ payloadTemplate }: Template): CompiledTemplate => {
    const known = compiled.get(payloadTemplate)
    if (known !== undefined) return known
    const made = compile(payloadTemplate)
    compiled.set(payloadTemplate, made)
    return made
  }

  const fill = (content: TemplateContent, template: Template, draft: Draft) => {
    const { raw, at } = draft
    const variables = raw.get(keyAt(at, 'variables')) ?? '{}'
    if (!variables.startsWith('{')) return NO_OBJECT
    const strict = content.strict ?? template.strict
    const rendered = render(compiledOf(template), variables, { strict, maxBytes: MAX.payloadBytes })
    if (!rendered.ok) return rendered.fault === 'missing' ? missing(rendered.names) : TOO_LARGE
    const said = {
      event_type: template.eventType,
      priority: content.priority ?? template.defaultPriority,
      ttl: content.ttl ?? template.defaultTtl,
      correlation_id: content.correlation_id,
      audience: content.audience,
    }
    return notificationOf(said, rendered.payload, originOf(draft))
  }

  return {
    find: (tenant, id) =>
      templates.get(tenant, id).catch((cause: unknown) => {
        if (!(cause instanceof StoreAway)) throw cause
        return { reason: 'store', faults: [], cause }
      }),
    compose: (draft, found) => {
      const { content, raw, at } = draft
      if ('payload' in content)
        return notificationOf(content, raw.get(keyAt(at, 'payload')) ?? 'null', originOf(draft))
      if (found === undefined) return UNKNOWN
      return 'reason' in found ? found : fill(content, found, draft)
    },
  }
}
