import { Elysia } from 'elysia'
import * as v from 'valibot'
import { type Found, refusalOf } from '../dispatch/compose.ts'
import { derivedId, type Try } from '../dispatch/once.ts'
import { AppError } from '../errors.ts'
import { type Document, documented, formatOf } from '../lib/document.ts'
import type { Span } from '../lib/trace-context.ts'
import {
  audience,
  audienceFault,
  channelName,
  channelNames,
  idempotencyKey,
  lengthFault,
  MAX,
  sending,
  userId,
  userIds,
} from '../notification/content.ts'
import type { Target } from '../notification/target.ts'
import type { Stats } from '../observe/stats.ts'
import { claimKeys } from './batch-keys.ts'
import {
  asFailure,
  checkStore,
  type Failure,
  type Fate,
  failedBy,
  resultOf,
  stops,
  summaryOf,
} from './batch-result.ts'
import { readBody } from './body.ts'
import type { Caller } from './caller.ts'
import { answering } from './keyed.ts'
import { type SendOptions, SOURCE } from './notifications.ts'

export const MAX_BODY_BYTES = 1_048_576
const MAX_ITEMS = 100

export const target = v.variant('type', [
  v.object({ type: v.literal('user'), value: userId }),
  v.object({ type: v.literal('users'), value: userIds }),
  v.object({ type: v.literal('broadcast'), value: v.nullish(v.never()) }),
  v.object({ type: v.literal('channel'), value: channelName }),
  v.object({ type: v.literal('channels'), value: channelNames }),
])

/** One of a batch. */
export const item = sending({
  target,
  audience: v.nullish(audience),
  idempotency_key: v.nullish(idempotencyKey),
})

export const batch = v.object({
  notifications: documented(v.array(item), { minItems: 1, maxItems: MAX_ITEMS }),
  options: v.optional(
    v.object({ stop_on_error: v.nullish(v.boolean(), false), deduplicate: v.nullish(v.boolean(), false) }),
    {},
  ),
  idempotency_key: v.nullish(idempotencyKey),
})
const format = formatOf(batch)

type Batch = v.InferOutput<typeof batch>
type Item = Batch['notifications'][number]

/** One item on its way. */
interface Task {
  readonly tenant: string
  /** Of the request, when it is traced. */
  readonly span: Span | undefined
  readonly item: Item
  /** The texts of its values by path, and what stands before the names of its keys. */
  readonly raw: ReadonlyMap<string, string>
  readonly at: string
  /** What its template id stands for. */
  readonly found: Found
  /** In a batch with a key, so that a retry of it repeats nobody. */
  readonly as: Partial<Try>
}

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

function checkSize({ length }: readonly Item[]): void {
  if (length > MAX_ITEMS) throw new AppError('BATCH_TOO_LARGE')
  if (length === 0)
    throw new AppError('VALIDATION_ERROR', {
      status: 400,
      details: [{ path: 'notifications', message: 'at least 1 item' }],
    })
}

/** Of the tasks those that are like an earlier one. */
function duplicatesOf(tasks: readonly Task[]): ReadonlySet<Task> {
  const seen = new Set<string>()
  const duplicates = new Set<Task>()
  for (const task of tasks) {
    const eventType = eventTypeOf(task.item, task.found)
    if (eventType === undefined) continue
    const likeness = likenessOf(task.item, eventType)
    if (seen.has(likeness)) duplicates.add(task)
    seen.add(likeness)
  }
  return duplicates
}

interface BatchOptions extends SendOptions {
  readonly stats: Pick<Stats, 'batchItems'>
}

/** Up to 100 sends in one request, in order; not atomic. */
export function batchRoutes({ composer, dispatch, once, callers, clock, stats }: BatchOptions) {
  const answer = answering(once)

  /** All that the items name, looked up before the first takes effect: between two items nobody is waited for. */
  const findAll = async (tenant: string, items: readonly Item[]): Promise<ReadonlyMap<string, Found>> => {
    const ids = new Set(items.flatMap(item => ('payload' in item ? [] : [item.template_id])))
    return new Map(
      await Promise.all([...ids].map(async id => [id, await composer.find(tenant, id)] as const)),
    )
  }

  // Appends are issued in order without waiting for each other, so that they may share a commit.
  const carryOut = (
    { tenant, span, item, raw, at, found }: Task,
    { id, storedAt }: Partial<Try>,
  ): Promise<Fate> | Fate => {
    const failure = failureOf(item, 'payload' in item ? raw.get(`${at}payload`) : undefined)
    if (failure !== undefined) return { failure }
    const { audience, ...rest } = item
    const content = item.target.type === 'broadcast' ? { ...rest, audience } : rest
    const draft = { content, raw, at, source: SOURCE, now: storedAt ?? clock.now(), id }
    const notification = composer.compose(draft, found)
    if ('reason' in notification) return failedBy(refusalOf(notification))
    return dispatch({ tenant, target: targetOf(item), notification, span }).then(
      outcome => ({ outcome }),
      asFailure,
    )
  }

  /** The same for each item whenever the batch is tried. */
  const triesOf = ({ id, isRetry }: Try, tenant: string, items: readonly Item[]): Promise<readonly Try[]> =>
    Promise.all(
      items.map(async (_, index) => {
        const own = derivedId(id, index)
        return { id: own, isRetry, storedAt: isRetry ? await once.storedAt(tenant, own) : undefined }
      }),
    )

  const tasksOf = async ({ tenant, span }: Caller, { value, raw }: Document<Batch>, as: Try | undefined) => {
    const { notifications: items } = value
    const templates = await findAll(tenant, items)
    const tries = as === undefined ? [] : await triesOf(as, tenant, items)
    return items.map((item, index): Task => {
      const found = 'payload' in item ? undefined : templates.get(item.template_id)
      return { tenant, span, item, raw, at: `notifications[${index}].`, found, as: tries[index] ?? {} }
    })
  }

  const carryOutAll = async (tasks: readonly Task[], options: Batch['options']): Promise<readonly Fate[]> => {
    const duplicates = options.deduplicate ? duplicatesOf(tasks) : new Set<Task>()
    const own = tasks.filter(task => !duplicates.has(task))
    // With a stop nobody knows yet how far it goes, and a key that is not reached stays free.
    using keys = await claimKeys({ once, tasks: own, carryOut, ahead: !options.stop_on_error })
    const fates: (Promise<Fate> | Fate)[] = []
    let stopped = false
    for (const task of tasks) {
      if (stopped) fates.push({ skipped: 'stopped' })
      else if (duplicates.has(task)) fates.push({ skipped: 'duplicate' })
      else {
        // What is for users goes out after its append, what is for a crowd at once: it waits, to come in its place.
        if (isForCrowd(task.item)) await Promise.all(fates)
        const fate = keys.of(task) ?? carryOut(task, task.as)
        fates.push(fate)
        if (options.stop_on_error) stopped = stops(await fate)
      }
    }
    return await Promise.all(fates)
  }

  return new Elysia({ name: 'batch', prefix: '/api/v1/notifications' }).post(
    '/batch',
    async ({ request, set }) => {
      const document = await readBody(request, format, MAX_BODY_BYTES)
      const { notifications, options, idempotency_key: key } = document.value
      checkSize(notifications)
      const caller = callers.of(request)
      const { tenant } = caller
      return answer({ request, tenant, key, text: document.text }, set, async as => {
        stats.batchItems.observe(notifications.length)
        const fates = await carryOutAll(await tasksOf(caller, document, as), options)
        checkStore(fates)
        return {
          batch_id: as?.id ?? crypto.randomUUID(),
          results: fates.map(resultOf),
          summary: summaryOf(fates),
          timestamp: new Date(clock.now()).toISOString(),
        }
      })
    },
    { parse: 'none', detail: { summary: 'Up to 100 sends', security: [{ apiKey: [] }] } },
  )
}
