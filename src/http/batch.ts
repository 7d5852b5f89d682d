import { Elysia } from 'elysia'
import * as v from 'valibot'
import { type Found, refusalOf } from '../dispatch/compose.ts'
import type { Outcome } from '../dispatch/dispatcher.ts'
import { AppError, type HttpErrorCode, unavailable } from '../errors.ts'
import { formatOf } from '../lib/document.ts'
import {
  audience,
  audienceFault,
  channelName,
  lengthFault,
  MAX,
  sending,
  userId,
} from '../notification/content.ts'
import type { Target } from '../notification/target.ts'
import { readBody } from './body.ts'
import { type SendOptions, SOURCE } from './notifications.ts'

const MAX_BODY_BYTES = 1_048_576
const MAX_ITEMS = 100
const NO_ID = '00000000-0000-0000-0000-000000000000'

const target = v.variant('type', [
  v.object({ type: v.literal('user'), value: userId }),
  v.object({ type: v.literal('users'), value: v.array(userId) }),
  v.object({ type: v.literal('broadcast'), value: v.nullish(v.never()) }),
  v.object({ type: v.literal('channel'), value: channelName }),
  v.object({ type: v.literal('channels'), value: v.array(channelName) }),
])

const batch = v.object({
  notifications: v.array(sending({ target, audience: v.nullish(audience) })),
  options: v.optional(
    v.object({ stop_on_error: v.nullish(v.boolean(), false), deduplicate: v.nullish(v.boolean(), false) }),
    {},
  ),
})
const format = formatOf(batch)

type Item = v.InferOutput<typeof batch>['notifications'][number]

interface Failure {
  readonly code: HttpErrorCode
  readonly message: string
}

/** Where the texts of an item's values are, and what its template id stands for. */
interface Place {
  readonly raw: ReadonlyMap<string, string>
  /** Before the names of its keys. */
  readonly at: string
  readonly found: Found
}

/** What became of one item; `skipped` ones have had no effect. */
type Fate =
  | { readonly outcome: Outcome }
  | { readonly failure: Failure }
  | { readonly skipped: 'duplicate' | 'stopped' }

const targetOf = ({ target: { type, value } }: { readonly target: Item['target'] }): Target => {
  switch (type) {
    case 'user':
      return { type, user: value }
    case 'users':
      return { type, users: value }
    case 'broadcast':
      return { type }
    case 'channel':
      return { type, channel: value }
    case 'channels':
      return { type, channels: value }
  }
}

const isForCrowd = ({ target: { type } }: Item): boolean => type !== 'user' && type !== 'users'

/** A list of values that is too long, or a payload that is too large: the fault of this item alone. */
function failureOf({ target, audience }: Item, payload: string | undefined): Failure | undefined {
  if (payload !== undefined && Buffer.byteLength(payload) > MAX.payloadBytes)
    return { code: 'PAYLOAD_TOO_LARGE', message: `The payload is over ${MAX.payloadBytes} bytes.` }
  const fault =
    target.type === 'users'
      ? lengthFault('target.value', target.value, MAX.users)
      : target.type === 'channels'
        ? lengthFault('target.value', target.value, MAX.channels)
        : target.type === 'broadcast'
          ? audienceFault(audience)
          : undefined
  return fault && { code: 'VALIDATION_ERROR', message: `${fault.path}: ${fault.message}` }
}

/** What the item is about; undefined when its template is not to be had. */
function eventTypeOf(item: Item, found: Found): string | undefined {
  if ('payload' in item) return item.event_type
  return found === undefined || 'reason' in found ? undefined : found.eventType
}

/** Items alike in kind and set of targets and in event type; as JSON, so that no two different ones become one text. */
const likenessOf = ({ target: { type, value } }: Item, eventType: string): string =>
  JSON.stringify([type, [...new Set([value].flat())].sort(), eventType])

const isSuccess = ({ deliveredTo, queued }: Outcome): boolean => deliveredTo > 0 || queued > 0

/** Whether `stop_on_error` stops behind it. */
const stops = (fate: Fate): boolean => 'failure' in fate || ('outcome' in fate && !isSuccess(fate.outcome))

function resultOf(fate: Fate, index: number) {
  const none = { index, notification_id: NO_ID, delivered_to: 0, failed: 0, queued: 0 }
  if ('failure' in fate)
    return { ...none, success: false, error: fate.failure.message, code: fate.failure.code }
  if ('skipped' in fate)
    return fate.skipped === 'duplicate'
      ? { ...none, success: true, skipped: true }
      : { ...none, success: false, skipped: true, error: 'An earlier item stopped the batch.' }
  const { notificationId, deliveredTo, failed, queued, status } = fate.outcome
  return {
    index,
    notification_id: notificationId,
    delivered_to: deliveredTo,
    failed,
    queued,
    success: isSuccess(fate.outcome),
    status,
  }
}

function summaryOf(fates: readonly Fate[]) {
  const outcomes = fates.flatMap(fate => ('outcome' in fate ? [fate.outcome] : []))
  const succeeded = outcomes.filter(isSuccess).length
  const skipped = fates.filter(fate => 'skipped' in fate).length
  return {
    total: fates.length,
    succeeded,
    failed: fates.length - succeeded - skipped,
    skipped,
    total_delivered: outcomes.reduce((sum, { deliveredTo }) => sum + deliveredTo, 0),
    total_queued: outcomes.reduce((sum, { queued }) => sum + queued, 0),
  }
}

function checkSize({ length }: readonly Item[]): void {
  if (length > MAX_ITEMS) throw new AppError('BATCH_TOO_LARGE')
  if (length === 0)
    throw new AppError('VALIDATION_ERROR', {
      status: 400,
      details: [{ path: 'notifications', message: 'at least 1 item' }],
    })
}

/** Nothing was taken, and all for the same reason: the caller is to come back with all of it. */
function checkStore(fates: readonly Fate[]): void {
  const isAway = (fate: Fate) => 'failure' in fate && fate.failure.code === 'STORE_UNAVAILABLE'
  if (fates.every(isAway)) throw unavailable()
}

/** One text of an error: an item has no place for its details. */
const failedBy = ({ code, message, details = [] }: AppError): Fate => ({
  failure: {
    code,
    message: [message, ...details.map(detail => `${detail.path}: ${detail.message}.`)].join(' '),
  },
})

const asFailure = (error: unknown): Fate => {
  if (error instanceof AppError) return failedBy(error)
  throw error
}

/** Up to 100 sends in one request, in order; not atomic. */
export function batchRoutes({ composer, dispatch, callers, clock }: SendOptions) {
  /** All that the items name, looked up before the first takes effect: between two items nobody is waited for. */
  const findAll = async (tenant: string, items: readonly Item[]): Promise<ReadonlyMap<string, Found>> => {
    const ids = new Set(items.flatMap(item => ('payload' in item ? [] : [item.template_id])))
    return new Map(
      await Promise.all([...ids].map(async id => [id, await composer.find(tenant, id)] as const)),
    )
  }

  // Appends are issued in order without waiting for each other, so that they may share a commit.
  const carryOut = (tenant: string, item: Item, { raw, at, found }: Place): Promise<Fate> | Fate => {
    const failure = failureOf(item, 'payload' in item ? raw.get(`${at}payload`) : undefined)
    if (failure !== undefined) return { failure }
    const { audience, ...rest } = item
    const content = item.target.type === 'broadcast' ? { ...rest, audience } : rest
    const draft = { content, raw, at, source: SOURCE, now: clock.now() }
    const notification = composer.compose(draft, found)
    if ('reason' in notification) return failedBy(refusalOf(notification))
    return dispatch({ tenant, target: targetOf(item), notification }).then(
      outcome => ({ outcome }),
      asFailure,
    )
  }

  return new Elysia({ name: 'batch', prefix: '/api/v1/notifications' }).post(
    '/batch',
    async ({ request }) => {
      const { value, raw } = await readBody(request, format, MAX_BODY_BYTES)
      const { notifications, options } = value
      checkSize(notifications)
      const { tenant } = callers.of(request)
      const templates = await findAll(tenant, notifications)
      const seen = new Set<string>()
      const fates: (Promise<Fate> | Fate)[] = []
      let stopped = false
      for (const [index, item] of notifications.entries()) {
        const found = 'payload' in item ? undefined : templates.get(item.template_id)
        const eventType = eventTypeOf(item, found)
        const likeness = eventType === undefined ? undefined : likenessOf(item, eventType)
        if (stopped) fates.push({ skipped: 'stopped' })
        else if (options.deduplicate && likeness !== undefined && seen.has(likeness))
          fates.push({ skipped: 'duplicate' })
        else {
          // What is for users goes out after its append, what is for a crowd at once: it waits, to come in its place.
          if (isForCrowd(item)) await Promise.all(fates)
          const fate = carryOut(tenant, item, { raw, at: `notifications[${index}].`, found })
          fates.push(fate)
          if (options.stop_on_error) stopped = stops(await fate)
        }
        if (likeness !== undefined) seen.add(likeness)
      }
      const settled = await Promise.all(fates)
      checkStore(settled)
      return {
        batch_id: crypto.randomUUID(),
        results: settled.map(resultOf),
        summary: summaryOf(settled),
        timestamp: new Date(clock.now()).toISOString(),
      }
    },
    { parse: 'none', detail: { summary: 'Up to 100 sends', security: [{ apiKey: [] }] } },
  )
}
