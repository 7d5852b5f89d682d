import * as v from 'valibot'
import type { ComposeError, Composer, Found } from '../../../dispatch/compose.ts'
import { derivedId, type PartsOf, type Try } from '../../../dispatch/once.ts'
import { inTurns } from '../../../lib/flow/in-turns.ts'
import type { Fault } from '../../../lib/json/document.ts'
import type { Span } from '../../../lib/trace-context.ts'
import {
  audienceFault,
  idempotencyKey,
  lengthFault,
  MAX,
  type Origin,
  sending,
} from '../../../notification/content.ts'
import { isOverFanOut, mayBeOverFanOut, type Portion } from '../../../notification/fan-out.ts'
import type { Notification } from '../../../notification/notification.ts'
import { recipientsOf, type Target } from '../../../notification/target.ts'
import { audience, channelName, channelNames, userId, userIds } from '../../../protocol/audience.ts'
import { fanOutTooLarge, SOURCE } from '../notifications.ts'
import type { Failure, Fate } from './result.ts'

export const target = v.variant('type', [
  v.object({ type: v.literal('user'), value: userId }),
  v.object({ type: v.literal('users'), value: userIds }),
  v.object({ type: v.literal('broadcast'), value: v.nullish(v.never()) }),
  v.object({ type: v.literal('channel'), value: channelName }),
  v.object({ type: v.literal('channels'), value: channelNames }),
])

/** Payloads rendered per turn of the event loop to measure them. */
const COMPOSED_PER_TURN = 4

/** Schema of a batch item. */
export const item = sending({
  target,
  audience: v.nullish(audience),
  idempotency_key: v.nullish(idempotencyKey),
})

export type Item = v.InferOutput<typeof item>

/** An item with everything that sending it needs. */
export interface Task {
  readonly tenant: string
  /** Span of the request; undefined without traces. */
  readonly span: Span | undefined
  readonly item: Item
  /** JSON texts of the batch's values by path. */
  readonly raw: ReadonlyMap<string, string>
  /** Path of the item with a final dot: `notifications[3].`. */
  readonly at: string
  /** Result of looking up its `template_id`; undefined without one. */
  readonly found: Found
  /** Its id in a batch with a key: a retry sends nothing twice. */
  readonly as: Partial<Try>
}

export const targetOf = ({ target: { type, value } }: { readonly target: Item['target'] }): Target => {
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

export const isForCrowd = ({ target: { type } }: Item): boolean => type !== 'user' && type !== 'users'

/** The fault of a target with too many names, whose names were not checked. */
function longList({ target }: Item): Fault | undefined {
  if (target.type === 'users') return lengthFault('target.value', target.value, MAX.users)
  return target.type === 'channels' ? lengthFault('target.value', target.value, MAX.channels) : undefined
}

/** The failure of an item with too many names, audience values or payload bytes. */
export function failureOf({ item, raw, at }: Task): Failure | undefined {
  const { target, audience } = item
  const payload = 'payload' in item ? raw.get(`${at}payload`) : undefined
  if (payload !== undefined && Buffer.byteLength(payload) > MAX.payloadBytes)
    return { code: 'PAYLOAD_TOO_LARGE', message: `The payload must be at most ${MAX.payloadBytes} bytes.` }
  const fault = longList(item) ?? (target.type === 'broadcast' ? audienceFault(audience) : undefined)
  return fault && { code: 'VALIDATION_ERROR', message: `${fault.path}: ${fault.message}` }
}

/** The event type of an item; undefined without its template. */
function eventTypeOf(item: Item, found: Found): string | undefined {
  if ('payload' in item) return item.event_type
  return found === undefined || 'reason' in found ? undefined : found.eventType
}

/** Key of equal items: kind and set of targets, event type. JSON keeps different items apart. */
const likenessOf = ({ target: { type, value } }: Item, eventType: string): string =>
  JSON.stringify([type, [...new Set([value].flat())].sort(), eventType])

/** The tasks that equal an earlier one. */
export function duplicatesOf(tasks: readonly Task[]): ReadonlySet<Task> {
  const seen = new Set<string>()
  const duplicates = new Set<Task>()
  for (const task of tasks) {
    const eventType = eventTypeOf(task.item, task.found)
    if (eventType === undefined || longList(task.item) !== undefined) continue
    const likeness = likenessOf(task.item, eventType)
    if (seen.has(likeness)) duplicates.add(task)
    seen.add(likeness)
  }
  return duplicates
}

/** Whether an earlier attempt stored everything that this one sent to users. */
export function wasStored(tasks: readonly Task[], fates: readonly Fate[]): boolean {
  const sent = tasks.filter(({ item }, n) => !isForCrowd(item) && fates[n] && 'outcome' in fates[n])
  return sent.length > 0 && sent.every(({ as }) => as.storedAt !== undefined)
}

/** Notification ids of a batch, equal in each retry; none if it also addresses crowds. */
export const partsOf =
  (items: readonly Item[]): PartsOf =>
  id =>
    items.some(isForCrowd) ? [] : items.map((_, index) => derivedId(id, index))

/** Composes the notification of an item. */
export function composeOf(
  { item, raw, at, found }: Task,
  composer: Pick<Composer, 'compose'>,
  origin: Pick<Origin, 'id' | 'now'>,
): Notification | ComposeError {
  const { audience, ...rest } = item
  const content = item.target.type === 'broadcast' ? { ...rest, audience } : rest
  return composer.compose({ content, raw, at, source: SOURCE, ...origin }, found)
}

function payloadBytesOf(task: Task, composer: Pick<Composer, 'compose'>): number {
  if (failureOf(task) !== undefined) return 0
  const { item, raw, at } = task
  if ('payload' in item) return Buffer.byteLength(raw.get(`${at}payload`) ?? '')
  const notification = composeOf(task, composer, { now: 0 })
  return 'reason' in notification ? 0 : Buffer.byteLength(notification.payload)
}

/** Template bytes that cost about as much as one recipient. */
const TEMPLATE_BYTES_PER_RECIPIENT = 1_024

/** The cost of an item, in recipients. */
export function costOf({ item, found }: Task): number {
  const template = found === undefined || 'reason' in found ? '' : found.payloadTemplate
  return recipientsOf(targetOf(item)) + template.length / TEMPLATE_BYTES_PER_RECIPIENT
}

/** Rejects with 413 if recipients times payload bytes exceed the bound. */
export async function checkFanOut(
  tasks: readonly Task[],
  composer: Pick<Composer, 'compose'>,
): Promise<void> {
  const targets = tasks.map(({ item }) => targetOf(item))
  if (!mayBeOverFanOut(targets)) return
  const portions: Portion[] = []
  await inTurns(
    tasks,
    task => {
      const bytes = payloadBytesOf(task, composer)
      portions.push({ target: targetOf(task.item), payloadBytes: () => bytes })
    },
    COMPOSED_PER_TURN,
  )
  if (isOverFanOut(portions)) throw fanOutTooLarge()
}
