import * as v from 'valibot'
import { anyJson, documented, either, type Fault, integer, rule } from '../lib/json/document.ts'
import { MAX_NAMED } from '../protocol/audience.ts'
import {
  IDEMPOTENCY_KEY_RULE,
  isCorrelationId,
  isEventType,
  isIdempotencyKey,
  NAME_RULES,
} from '../protocol/names.ts'
import { PRIORITIES } from '../protocol/values.ts'
import type { Audience } from './audience.ts'
import type { Notification } from './notification.ts'

export const MAX_TTL_SECONDS = 4_294_967_295

/** Bounds of one send: names, and payload bytes where no body limit applies. */
export const MAX = { ...MAX_NAMED, payloadBytes: 65_536 } as const

const correlationId = v.pipe(
  v.string(),
  rule(isCorrelationId, 'at most 256 characters, no control characters', NAME_RULES.correlationId),
)

export const idempotencyKey = v.pipe(
  v.string(),
  rule(isIdempotencyKey, IDEMPOTENCY_KEY_RULE, NAME_RULES.idempotencyKey),
)

const more = {
  priority: documented(v.nullish(v.picklist(PRIORITIES)), {
    description: 'Default: the priority of the template, else `Normal`',
  }),
  ttl: documented(v.nullish(integer(0, MAX_TTL_SECONDS, 'a whole number of seconds')), {
    description:
      'Seconds; default: the ttl of the template, else none. 0: only for clients connected now, never kept',
  }),
  correlation_id: v.nullish(correlationId),
}
const direct = {
  event_type: v.pipe(
    v.string(),
    rule(isEventType, '1 to 128 characters, no control characters', NAME_RULES.eventType),
  ),
  payload: anyJson,
  ...more,
}
const templated = {
  template_id: documented(v.string(), { ...NAME_RULES.templateId, description: 'A template' }),
  variables: documented(v.optional(anyJson), {
    type: 'object',
    description: 'Values for the variables of the template',
  }),
  strict: documented(v.nullish(v.boolean()), {
    description: 'Whether a missing variable is an error; default: as the template says',
  }),
  ...more,
}

/** A template id decides, whatever other keys there are. */
const namesTemplate = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'template_id' in value &&
  typeof value.template_id === 'string'

/** Schema of a send: the fields in `own`, and either a payload or a template. */
export const sending = <T extends v.ObjectEntries>(own: T) =>
  either(namesTemplate, v.object({ ...own, ...direct }), v.object({ ...own, ...templated }))

type ContentOf<T extends v.ObjectEntries> = v.InferOutput<v.ObjectSchema<T, undefined>> & {
  readonly audience?: Audience | null | undefined
}
type DirectContent = ContentOf<typeof direct>
export type TemplateContent = ContentOf<typeof templated>
export type Content = DirectContent | TemplateContent

/** Rejects an over-long list, which the schemas accept. Call it before using any item. */
export const lengthFault = (path: string, list: readonly unknown[], most: number): Fault | undefined =>
  list.length > most ? { path, message: `expected at most ${most} items (got ${list.length})` } : undefined

export function audienceFault(
  given: Audience | null | undefined,
  path = 'audience.value',
): Fault | undefined {
  if (!given || given.type === 'All') return undefined
  const most = { Roles: MAX.roles, Users: MAX.users, Channels: MAX.channels }[given.type]
  return lengthFault(path, given.value, most)
}

export interface Origin {
  readonly source: string
  /** UUID v4; absent: a new one. */
  readonly id?: string | undefined
  /** Time of acceptance, milliseconds since 1970. */
  readonly now: number
}

/** Creates a notification; `payload` is JSON text. */
export function notificationOf(
  { event_type, priority, ttl, correlation_id, audience: meant }: Omit<DirectContent, 'payload'>,
  payload: string,
  { source, now, id }: Origin & { readonly id: string },
): Notification {
  const notification: { -readonly [K in keyof Notification]: Notification[K] } = {
    id,
    occurredAt: now,
    eventType: event_type,
    payload,
    source,
    priority: priority ?? 'Normal',
  }
  // Assignments: spreading mostly absent fields would cost more than all the rest.
  if (typeof ttl === 'number') notification.ttl = ttl
  if (meant) notification.audience = meant
  if (typeof correlation_id === 'string') notification.correlationId = correlation_id
  return notification
}
