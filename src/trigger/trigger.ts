import * as v from 'valibot'
import type { Composer, Found } from '../dispatch/compose.ts'
import { fingerprintOf, type KeyClaim, type Once } from '../dispatch/once.ts'
import { AppError, type HttpErrorCode } from '../errors.ts'
import { type Document, type Fault, formatOf, readDocument } from '../lib/json/document.ts'
import { decodeUtf8 } from '../lib/json/utf8.ts'
import { NAME_RULE } from '../lib/name.ts'
import type { RemoteParent } from '../lib/trace-context.ts'
import { audienceFault, type Content, idempotencyKey, MAX, sending } from '../notification/content.ts'
import { isOverFanOut, MAX_FAN_OUT_BYTES } from '../notification/fan-out.ts'
import type { Envelope, Target } from '../notification/target.ts'
import type { Rejection } from '../observe/stats.ts'
import { audience } from '../protocol/audience.ts'
import { DEFAULT_TENANT, isChannel, isTenant, isUserId } from '../protocol/names.ts'

/** A message as Redis delivered it. */
export interface Arrival {
  /** Name of its channel or stream. */
  readonly name: string
  readonly bytes: Uint8Array
  /** Time of acceptance, milliseconds since 1970. */
  readonly now: number
  /** Set for a message that may arrive again. */
  readonly again?: Repeatable | undefined
}

/** Identity of a message that may arrive again. */
export interface Repeatable {
  /** Idempotency key, unless the message names one. */
  readonly key: string
  /** Id of its notification: the same each time. */
  readonly id: string
}

/** Reason of a rejection. `fault` gives path and expectation, never the text of the message. */
export interface RejectedMessage {
  readonly reason: Rejection
  /** Error code of a refused dispatch. */
  readonly code?: HttpErrorCode
  readonly fault?: Fault
}

/**
 * Ready for dispatch, not to be dispatched because of its key, or rejected. `replayed`: a message with the same key was
 * dispatched. `in_progress`: such a message is being dispatched, or its node died.
 */
export type MessageResult =
  | { readonly ok: true; readonly envelope: Envelope; readonly held?: KeyClaim | undefined }
  | { readonly ok: true; readonly envelope: undefined; readonly known: 'replayed' | 'in_progress' }
  | ({ readonly ok: false } & RejectedMessage)

/** A message whose template or key must be looked up first. */
export interface Pending {
  judge(): Promise<MessageResult>
}

export type Verdict = (MessageResult | Pending) & {
  /** Trace that the message names. */
  readonly parent?: RemoteParent
}

/** Includes the name of channel or stream, which goes on as the source. */
const MAX_BYTES = 1_048_576

/** `metadata.source` of messages from this channel or stream. */
export const sourceOf = (name: string): string => `redis:${name}`

const text = v.nullish(v.string())

const message = v.object({
  type: v.string(),
  target: v.optional(v.unknown()),
  tenant_id: text,
  audience: v.nullish(audience),
  idempotency_key: v.nullish(idempotencyKey),
  traceparent: text,
  tracestate: text,
  event: sending({}),
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

/** Accepts a single name in place of a list. */
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

const rejected = (reason: Rejection, fault?: Fault): Extract<MessageResult, { ok: false }> => ({
  ok: false,
  reason,
  ...(fault && { fault }),
})

const inEvent = ({ path, message }: Fault): Fault => ({ path: `event.${path}`, message })

/** Reasons by error code; every other refusal is a fault of the message. */
const REASONS: Partial<Record<HttpErrorCode, Rejection>> = {
  STORE_UNAVAILABLE: 'store',
  STORE_FULL: 'store',
  RATE_LIMITED: 'store',
  PAYLOAD_TOO_LARGE: 'too_large',
  SUBSTITUTION_FAILED: 'too_large',
  TEMPLATE_NOT_FOUND: 'unknown_template',
}

/** Turns a refusal into a rejection; undefined for a defect of our code. */
export function rejectionOf(error: unknown): RejectedMessage | undefined {
  if (!(error instanceof AppError)) return undefined
  const { code, details: [fault] = [] } = error
  return { reason: REASONS[code] ?? 'invalid_shape', code, ...(fault && { fault: inEvent(fault) }) }
}

/** Explains a key that stops a message. */
function withoutKey(error: unknown): MessageResult {
  if (error instanceof AppError && error.code === 'IDEMPOTENCY_IN_PROGRESS')
    return { ok: true, envelope: undefined, known: 'in_progress' }
  if (error instanceof AppError && error.code === 'IDEMPOTENCY_KEY_REUSED')
    return rejected('invalid_shape', {
      path: 'idempotency_key',
      message: 'expected the message it was first used for',
    })
  throw error
}

/** A message that passed all checks but those of its notification. */
interface Send {
  readonly content: Content
  readonly raw: ReadonlyMap<string, string>
  readonly source: string
  readonly now: number
  readonly tenant: string
  readonly target: Target
}

/** Composes the notification. `found` is its template, `held` its key. */
function composed(composer: Composer, send: Send, found?: Found, held?: KeyClaim): MessageResult {
  const { content, raw, source, now, tenant, target } = send
  const draft = { content, raw, at: 'event.', source, now: held?.storedAt ?? now, id: held?.id }
  const notification = composer.compose(draft, found)
  if ('reason' in notification) {
    held?.failed('free')
    const [first] = notification.faults
    return rejected(notification.reason, first && inEvent(first))
  }
  const payloadBytes = () => Buffer.byteLength(notification.payload)
  if (target.type !== 'users' || !isOverFanOut([{ target, payloadBytes }]))
    return { ok: true, envelope: { tenant, target, notification }, held }
  held?.failed('free')
  return rejected('too_large', {
    path: 'target',
    message: `expected recipients times payload of at most ${MAX_FAN_OUT_BYTES} bytes`,
  })
}

function judge(
  { value, raw, text }: Document<Message>,
  { name, now, again }: Arrival,
  { composer, once, tenancy }: Readers,
): Verdict {
  const { event, audience: meant, tenant_id, idempotency_key } = value
  const key = idempotency_key ?? again?.key
  const tenant = tenancy ? (tenant_id ?? DEFAULT_TENANT) : DEFAULT_TENANT
  if (!isTenant(tenant)) return rejected('tenant', { path: 'tenant_id', message: NAME_RULE })
  const target = targetOf(value)
  if (typeof target === 'string') return rejected(target)
  if (event.priority === null)
    return rejected('invalid_shape', { path: 'event.priority', message: 'expected a priority' })
  const fault = target.type === 'broadcast' ? audienceFault(meant) : undefined
  if (fault !== undefined) return rejected('invalid_shape', fault)
  if ('payload' in event && Buffer.byteLength(raw.get('event.payload') ?? '') > MAX.payloadBytes)
    return rejected('too_large', { path: 'event.payload', message: `at most ${MAX.payloadBytes} bytes` })
  const content = target.type === 'broadcast' ? { ...event, audience: meant } : event
  const send = { content, raw, source: sourceOf(name), now, tenant, target }
  const find = async () => ('payload' in event ? undefined : composer.find(tenant, event.template_id))
  if (key !== undefined) {
    const id = again?.id ?? crypto.randomUUID()
    const claim = { tenant, key, fingerprint: fingerprintOf('redis', text), id }
    const judgeOnce = async (): Promise<MessageResult> => {
      const begun = await once.begin(claim)
      if ('replay' in begun) return { ok: true, envelope: undefined, known: 'replayed' }
      try {
        return composed(composer, send, await find(), begun)
      } catch (error) {
        begun.failed('retry')
        throw error
      }
    }
    return { judge: () => judgeOnce().catch(withoutKey) }
  }
  if ('payload' in event) return composed(composer, send)
  return { judge: async () => composed(composer, send, await find()) }
}

/** Services and the setting that reading a message needs. */
export interface Readers {
  readonly composer: Composer
  readonly once: Once
  /** Whether `tenant_id` selects the tenant. Its type is checked in any case. */
  readonly tenancy: boolean
}

const inTrace = (verdict: Verdict, { traceparent, tracestate }: Message): Verdict =>
  typeof traceparent === 'string' ? { ...verdict, parent: { traceparent, tracestate } } : verdict

/** Reads a message from Redis. The name of channel or stream only becomes the source of the notification. */
export function readMessage(arrival: Arrival, readers: Readers): Verdict {
  const { bytes, name } = arrival
  if (bytes.length + name.length > MAX_BYTES) return rejected('too_large')
  const json = decodeUtf8(bytes)
  if (json === undefined) return rejected('invalid_json')
  const reading = readDocument(json, format)
  if (reading.ok) return inTrace(judge(reading, arrival, readers), reading.value)
  if (reading.fault !== 'shape') return rejected('invalid_json')
  const [fault] = reading.faults
  return rejected(fault?.path === 'tenant_id' ? 'tenant' : 'invalid_shape', fault)
}
