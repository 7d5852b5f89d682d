import { Elysia } from 'elysia'
import * as v from 'valibot'
import { type Found, refusalOf } from '../../../dispatch/compose.ts'
import { LARGE, type LargeCalls } from '../../../dispatch/large-calls.ts'
import { derivedId, type Try } from '../../../dispatch/once.ts'
import { AppError } from '../../../errors.ts'
import { type Document, formatOf, listOf } from '../../../lib/json/document.ts'
import { isoOf } from '../../../lib/time/iso.ts'
import { idempotencyKey } from '../../../notification/content.ts'
import { recipientsOf } from '../../../notification/target.ts'
import type { Stats } from '../../../observe/stats.ts'
import { readBody } from '../../request/body.ts'
import type { Caller } from '../../request/caller.ts'
import { answering } from '../../request/keyed.ts'
import { type SendOptions, straightRoute } from '../notifications.ts'
import {
  checkFanOut,
  composeOf,
  costOf,
  duplicatesOf,
  failureOf,
  type Item,
  isForCrowd,
  item,
  partsOf,
  type Task,
  targetOf,
  wasStored,
} from './items.ts'
import { claimKeys } from './keys.ts'
import { asFailure, checkStore, type Fate, failedBy, resultOf, stops, summaryOf } from './result.ts'

export const MAX_BODY_BYTES = 1_048_576
const MAX_ITEMS = 100

export const batch = v.object({
  notifications: listOf(item, MAX_ITEMS, { minItems: 1, readsLong: false }),
  options: v.optional(
    v.object({ stop_on_error: v.nullish(v.boolean(), false), deduplicate: v.nullish(v.boolean(), false) }),
    {},
  ),
  idempotency_key: v.nullish(idempotencyKey),
})
const format = formatOf(batch)

type Batch = v.InferOutput<typeof batch>

function checkSize({ length }: readonly Item[]): void {
  if (length > MAX_ITEMS)
    throw new AppError('BATCH_TOO_LARGE', {
      message: `A batch must have at most ${MAX_ITEMS} items (got ${length}): send the rest in another one.`,
    })
  if (length === 0)
    throw new AppError('VALIDATION_ERROR', {
      status: 400,
      details: [{ path: 'notifications', message: 'expected at least 1 item (got 0)' }],
    })
}

interface BatchOptions extends SendOptions {
  readonly stats: Pick<Stats, 'batchItems'>
  readonly largeCalls: LargeCalls
  /** Sends frames of the running code together, up to its next `await`. */
  readonly togetherUntilAwait: () => void
}

/** `/batch`: up to 100 sends in one request, in order; not atomic. */
export function batchRoutes(options: BatchOptions) {
  const { composer, dispatch, largeCalls, once, callers, clock, stats, togetherUntilAwait } = options
  const answer = answering(once)

  /** Looks up all templates before the first item: no item waits between two others. */
  const findAll = async (tenant: string, items: readonly Item[]): Promise<ReadonlyMap<string, Found>> => {
    const ids = new Set(items.flatMap(item => ('payload' in item ? [] : [item.template_id])))
    return new Map(
      await Promise.all([...ids].map(async id => [id, await composer.find(tenant, id)] as const)),
    )
  }

  // Does not await the append: appends of a batch share a commit.
  const carryOut = (task: Task, { id, storedAt }: Partial<Try>): Promise<Fate> | Fate => {
    const failure = failureOf(task)
    if (failure !== undefined) return { failure }
    const notification = composeOf(task, composer, { id, now: storedAt ?? clock.now() })
    if ('reason' in notification) return failedBy(refusalOf(notification))
    const { tenant, span, item } = task
    return Promise.try(dispatch, { tenant, target: targetOf(item), notification, span }).then(
      outcome => ({ outcome }),
      asFailure,
    )
  }

  /** Ids of the items, equal in each retry of the batch. */
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
    // With `stop_on_error` later items may not run, and their keys must stay free.
    using keys = await claimKeys({ once, tasks: own, carryOut, ahead: !options.stop_on_error })
    const fates: (Promise<Fate> | Fate)[] = []
    let stopped = false
    let cost = 0
    for (const task of tasks) {
      cost += costOf(task)
      if (stopped) fates.push({ skipped: 'stopped' })
      else if (duplicates.has(task)) fates.push({ skipped: 'duplicate' })
      else {
        // Keeps the order: a crowd item is sent at once, so it must wait.
        if (isForCrowd(task.item)) await Promise.all(fates)
        togetherUntilAwait()
        const fate = keys.of(task) ?? carryOut(task, task.as)
        fates.push(fate)
        if (options.stop_on_error) stopped = stops(await fate)
      }
      if (cost <= LARGE) continue
      // Lets other callers run before the next portion.
      cost = 0
      await Promise.all(fates)
      await new Promise(setImmediate)
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
      return answer(
        { request, tenant, key, text: document.text, partsOf: partsOf(notifications) },
        set,
        async as => {
          stats.batchItems.observe(notifications.length)
          const tasks = await tasksOf(caller, document, as)
          await checkFanOut(tasks, composer)
          const recipients = tasks.reduce((sum, { item }) => sum + recipientsOf(targetOf(item)), 0)
          const size = { recipients, bytes: document.text.length }
          const fates = await largeCalls(tenant, size, () => carryOutAll(tasks, options))
          checkStore(fates)
          if (wasStored(tasks, fates)) set.headers['idempotency-replayed'] = 'true'
          return JSON.stringify({
            batch_id: as?.id ?? crypto.randomUUID(),
            results: fates.map(resultOf),
            summary: summaryOf(fates),
            timestamp: isoOf(clock.now()),
          })
        },
      )
    },
    straightRoute('Sends up to 100 notifications'),
  )
}
