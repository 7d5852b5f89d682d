import { Elysia } from 'elysia'
import * as v from 'valibot'
import { AppError, storeUnavailable } from '../../errors.ts'
import { anyJson, documented, type Fault, formatOf, integer } from '../../lib/json/document.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { MAX_TTL_SECONDS } from '../../notification/content.ts'
import { isEventType, isTemplateId, NAME_RULES } from '../../protocol/names.ts'
import { PRIORITIES } from '../../protocol/values.ts'
import type { Template, TemplateChanges, TemplatePage, Templates } from '../../store/template.ts'
import { createPageAnswers, keyOf, MAX_PAGE_BYTES } from '../answer/page-answers.ts'
import { readBody } from '../request/body.ts'
import type { Callers } from '../request/caller.ts'
import { integerIn, queryOf, segment } from '../request/parameters.ts'

export const MAX_BODY_BYTES = 2_097_152
export const MAX_TEMPLATES = 10_000
const MAX_NAME_BYTES = 256
/** Bound of `payload_template` and of `description`. */
const MAX_TEXT_BYTES = 65_536

/** Any integer. RULES checks the range, with INVALID_TEMPLATE instead of a shape error. */
const seconds = integer(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)
const priority = v.picklist(PRIORITIES)
const name = { minLength: 1, maxLength: MAX_NAME_BYTES, description: `1 to ${MAX_NAME_BYTES} bytes` }
const payload = { description: `Any JSON of up to ${MAX_TEXT_BYTES} bytes, \`null\` too` }
const ttl = { minimum: 0, maximum: MAX_TTL_SECONDS, description: 'Seconds' }
const words = { maxLength: MAX_TEXT_BYTES, description: `At most ${MAX_TEXT_BYTES} bytes` }
const strict = { description: 'Whether a missing variable is an error' }

// Checks types only: RULES checks lengths and ranges.
export const creation = formatOf(
  v.object({
    id: documented(v.string(), { ...NAME_RULES.templateId, description: '1 to 64 bytes' }),
    name: documented(v.string(), name),
    event_type: documented(v.string(), NAME_RULES.eventType),
    payload_template: anyJson,
    default_priority: v.optional(priority),
    default_ttl: documented(v.nullish(seconds), ttl),
    description: documented(v.nullish(v.string()), words),
    strict: documented(v.nullish(v.boolean()), strict),
  }),
)

export const change = formatOf(
  v.object({
    name: documented(v.nullish(v.string()), name),
    event_type: documented(v.nullish(v.string()), NAME_RULES.eventType),
    payload_template: documented(v.optional(anyJson), payload),
    default_priority: v.nullish(priority),
    default_ttl: documented(v.nullish(seconds), ttl),
    description: documented(v.nullish(v.string()), words),
    strict: documented(v.nullish(v.boolean()), strict),
  }),
)

const fits = (text: string, bytes: number): boolean => Buffer.byteLength(text) <= bytes

/** Rules of a template beyond its shape; `payloadTemplate` is JSON text. */
const RULES = [
  {
    path: 'name',
    holds: ({ name }) => name === undefined || (name !== '' && fits(name, MAX_NAME_BYTES)),
    message: `expected 1 to ${MAX_NAME_BYTES} bytes`,
  },
  {
    path: 'event_type',
    holds: ({ eventType }) => eventType === undefined || isEventType(eventType),
    message: 'expected 1 to 128 characters, no control characters',
  },
  {
    path: 'payload_template',
    holds: ({ payloadTemplate: text }) => text === undefined || fits(text, MAX_TEXT_BYTES),
    message: `expected at most ${MAX_TEXT_BYTES} bytes`,
  },
  {
    path: 'default_ttl',
    holds: ({ defaultTtl: ttl }) => typeof ttl !== 'number' || (ttl >= 0 && ttl <= MAX_TTL_SECONDS),
    message: `expected a whole number from 0 to ${MAX_TTL_SECONDS}`,
  },
  {
    path: 'description',
    holds: ({ description: text }) => typeof text !== 'string' || fits(text, MAX_TEXT_BYTES),
    message: `expected at most ${MAX_TEXT_BYTES} bytes`,
  },
] as const satisfies readonly (Fault & { holds(given: Partial<TemplateChanges>): boolean })[]

function check(given: Partial<TemplateChanges>): void {
  const details = RULES.filter(({ holds }) => !holds(given)).map(({ path, message }) => ({ path, message }))
  if (details.length > 0) throw new AppError('INVALID_TEMPLATE', { details })
}

const timestamp = (time: number): string => `"${new Date(time).toISOString()}"`

/** JSON text of a template. Returns the payload template exactly as it was written. */
function textOf(template: Template): string {
  const { id, name, eventType, payloadTemplate, defaultPriority, defaultTtl, description, strict } = template
  const { createdAt, updatedAt } = template
  return (
    `{"id":${JSON.stringify(id)},"name":${JSON.stringify(name)},"event_type":${JSON.stringify(eventType)},` +
    `"payload_template":${payloadTemplate},"default_priority":"${defaultPriority}",` +
    (defaultTtl === undefined ? '' : `"default_ttl":${defaultTtl},`) +
    (description === undefined ? '' : `"description":${JSON.stringify(description)},`) +
    (strict ? '"strict":true,' : '') +
    `"created_at":${timestamp(createdAt)},"updated_at":${timestamp(updatedAt)}}`
  )
}

/** JSON text of a page; `next` is the `after` of the next page. */
function pageText({ templates, total, hasMore }: TemplatePage): string {
  const next = hasMore ? `,"next":${JSON.stringify(templates.at(-1)?.id)}` : ''
  return `{"templates":[${templates.map(textOf).join(',')}],"total":${total}${next}}`
}

const TYPE = 'application/json;charset=utf-8'

const answer = (text: string, status = 200): Response =>
  new Response(text, { status, headers: { 'content-type': TYPE } })

const notFound = (): never => {
  throw new AppError('TEMPLATE_NOT_FOUND')
}

const REFUSALS = {
  exists: () => new AppError('TEMPLATE_EXISTS'),
  full: () =>
    new AppError('INVALID_TEMPLATE', {
      message: `The tenant has ${MAX_TEMPLATES} templates already, which is the maximum: delete one first.`,
    }),
}

/** Routes of templates: stored messages with variables. */
export function templateRoutes({
  templates,
  callers,
  clock,
}: {
  readonly templates: Templates
  readonly callers: Callers
  readonly clock: Clock
}) {
  const answerPage = createPageAnswers()
  const route = (summary: string) => ({
    parse: 'none' as const,
    detail: { summary, security: [{ apiKey: [] }] },
  })

  return new Elysia({ name: 'templates', prefix: '/api/v1/templates' })
    .post(
      '',
      async ({ request }) => {
        const { value, raw } = await readBody(request, creation, MAX_BODY_BYTES)
        if (!isTemplateId(value.id)) throw new AppError('INVALID_ID')
        const now = clock.now()
        const template: Template = {
          id: value.id,
          name: value.name,
          eventType: value.event_type,
          payloadTemplate: raw.get('payload_template') ?? 'null',
          defaultPriority: value.default_priority ?? 'Normal',
          ...(typeof value.default_ttl === 'number' && { defaultTtl: value.default_ttl }),
          ...(typeof value.description === 'string' && { description: value.description }),
          strict: value.strict ?? false,
          createdAt: now,
          updatedAt: now,
        }
        check(template)
        const created = await templates
          .create(callers.of(request).tenant, template, MAX_TEMPLATES)
          .catch(storeUnavailable)
        if (created !== 'created') throw REFUSALS[created]()
        return answer(textOf(template), 201)
      },
      route('Creates a template'),
    )
    .get(
      '',
      ({ request, server }) => {
        const query = queryOf(request.url, ['after', 'limit'])
        const entries = integerIn(query, 'limit', { least: 1, most: MAX_TEMPLATES, otherwise: MAX_TEMPLATES })
        const after = query.get('after') ?? ''
        const { tenant } = callers.of(request)
        return answerPage({ request, identity: keyOf(request), server }, async () => {
          const page = await templates
            .list(tenant, after, { entries, bytes: MAX_PAGE_BYTES })
            .catch(storeUnavailable)
          return pageText(page)
        })
      },
      route('Lists templates, page by page'),
    )
    .get(
      '/:id',
      ({ request, params, server }) => {
        const id = segment('id', params.id)
        const { tenant } = callers.of(request)
        return answerPage(
          { request, identity: keyOf(request), server, type: TYPE, isLookUp: true },
          async () => {
            const template = await templates.get(tenant, id).catch(storeUnavailable)
            return textOf(template ?? notFound())
          },
        )
      },
      route('Gets a template'),
    )
    .put(
      '/:id',
      async ({ request, params }) => {
        const id = segment('id', params.id)
        const { value, raw } = await readBody(request, change, MAX_BODY_BYTES)
        const text = value.payload_template === null ? undefined : raw.get('payload_template')
        const changes: TemplateChanges = {
          ...(typeof value.name === 'string' && { name: value.name }),
          ...(typeof value.event_type === 'string' && { eventType: value.event_type }),
          ...(text !== undefined && { payloadTemplate: text }),
          ...(value.default_priority && { defaultPriority: value.default_priority }),
          ...(value.default_ttl !== undefined && { defaultTtl: value.default_ttl }),
          ...(value.description !== undefined && { description: value.description }),
          ...(typeof value.strict === 'boolean' && { strict: value.strict }),
          updatedAt: clock.now(),
        }
        check(changes)
        const template = await templates
          .update(callers.of(request).tenant, id, changes)
          .catch(storeUnavailable)
        return answer(textOf(template ?? notFound()))
      },
      route('Changes fields of a template'),
    )
    .delete(
      '/:id',
      async ({ request, params }) => {
        const id = segment('id', params.id)
        const existed = await templates.delete(callers.of(request).tenant, id).catch(storeUnavailable)
        return existed ? new Response(null, { status: 204 }) : notFound()
      },
      route('Deletes a template'),
    )
}
