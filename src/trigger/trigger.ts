import * as v from 'valibot'
import { type Document, type Fault, formatOf, readDocument } from '../lib/document.ts'
import { NAME_RULE } from '../lib/name.ts'
import { decodeUtf8 } from '../lib/utf8.ts'
import { audience, audienceFault, content, MAX, notificationOf } from '../notification/content.ts'
import { DEFAULT_TENANT, isChannel, isIdempotencyKey, isTenant, isUserId } from '../notification/names.ts'
import { PRIORITIES } from '../notification/notification.ts'
import type { Envelope, Target } from '../notification/target.ts'
import type { Rejection } from '../observe/stats.ts'

/** A message as it came: where, and its bytes. */
export interface Arrival {
  readonly channel: string
  readonly bytes: Uint8Array
  /** When, milliseconds since 1970. */
  readonly now: number
  /** Whether `tenant_id` counts; else only its type does. */
  readonly tenancy: boolean
}

/** Why it is not dispatched; `fault` names where and what was expected, never what was written. */
export interface Rejected {
  readonly reason: Rejection
  readonly fault?: Fault
}

export type Verdict = { readonly ok: true; readonly envelope: Envelope } | ({ readonly ok: false } & Rejected)

/** With its channel, whose name is sent on with the notification. */
const MAX_BYTES = 1_048_576

/** What a channel's name follows in `metadata.source`. */
export const SOURCE = 'redis:'

const text = v.nullish(v.string())
const noText = v.custom<unknown>(value => typeof value !== 'string')

const message = v.object({
  type: v.string(),
  target: v.optional(v.unknown()),
  tenant_id: text,
  audience: v.nullish(audience),
  idempotency_key: v.nullish(
    v.pipe(v.string(), v.check(isIdempotencyKey, '1 to 255 visible ASCII characters')),
  ),
  traceparent: text,
  tracestate: text,
  // A template is meant whenever one is named, whatever else is given.
  event: v.variant('template_id', [
    v.object({ template_id: v.string() }),
    v.object({ template_id: v.optional(noText), ...content, priority: v.optional(v.picklist(PRIORITIES)) }),
  ]),
})
const format = formatOf(message)

type Message = v.InferOutput<typeof message>

const isList = (
  value: unknown,
  isName: (text: string) => boolean,
  most: number,
): value is readonly string[] =>
  Array.isArray(value) &&
  value.length <= most &&
  value.every(item => typeof item === 'string' && isName(item))

/** One may stand without its list. */
const listOf = (target: unknown): unknown => (typeof target === 'string' ? [target] : target)

function targetOf({ type, target }: Message): Target | Rejection {
  const list = listOf(target)
  switch (type) {
    case 'user':
      return typeof target === 'string' && isUserId(target) ? { type, user: target } : 'invalid_target'
    case 'users':
      return isList(list, isUserId, MAX.users) ? { type, users: list } : 'invalid_target'
    case 'broadcast':
      return { type }
    case 'channel':
      return typeof target === 'string' && isChannel(target) ? { type, channel: target } : 'invalid_target'
    case 'channels':
      return isList(list, isChannel, MAX.channels) ? { type, channels: list } : 'invalid_target'
  }
  return 'unknown_type'
}

const rejected = (reason: Rejection, fault?: Fault): Verdict => ({
  ok: false,
  reason,
  ...(fault && { fault }),
})

function judge({ value, raw }: Document<Message>, { channel, now, tenancy }: Arrival): Verdict {
  const { event, audience: meant, tenant_id } = value
  const tenant = tenancy ? (tenant_id ?? DEFAULT_TENANT) : DEFAULT_TENANT
  if (!isTenant(tenant)) return rejected('tenant', { path: 'tenant_id', message: NAME_RULE })
  const target = targetOf(value)
  if (typeof target === 'string') return rejected(target)
  if (!('payload' in event)) return rejected('unknown_template')
  const fault = target.type === 'broadcast' ? audienceFault(meant) : undefined
  if (fault !== undefined) return rejected('invalid_shape', fault)
  const payload = raw.get('event.payload') ?? 'null'
  if (Buffer.byteLength(payload) > MAX.payloadBytes)
    return rejected('too_large', { path: 'event.payload', message: `at most ${MAX.payloadBytes} bytes` })
  const said = target.type === 'broadcast' ? { ...event, audience: meant } : event
  const notification = notificationOf(said, payload, { source: SOURCE + channel, now })
  return { ok: true, envelope: { tenant, target, notification } }
}

/** What a message from Redis means, or why it means nothing. The channel decides nothing; it is only named as the source. */
export function readMessage(arrival: Arrival): Verdict {
  const { bytes, channel } = arrival
  if (bytes.length + channel.length > MAX_BYTES) return rejected('too_large')
  const json = decodeUtf8(bytes)
  if (json === undefined) return rejected('invalid_json')
  const reading = readDocument(json, format)
  if (reading.ok) return judge(reading, arrival)
  if (reading.fault !== 'shape') return rejected('invalid_json')
  const [fault] = reading.faults
  return rejected(fault?.path === 'tenant_id' ? 'tenant' : 'invalid_shape', fault)
}
