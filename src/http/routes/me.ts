import { Elysia } from 'elysia'
import * as v from 'valibot'
import type { Acknowledgement } from '../../dispatch/acknowledgement.ts'
import { invalidValue, storeUnavailable } from '../../errors.ts'
import { documented, formatOf, listOf, rule } from '../../lib/json/document.ts'
import { lengthFault } from '../../notification/content.ts'
import { parseCursor } from '../../notification/cursor.ts'
import { type Topic, userTopic } from '../../notification/topic.ts'
import type { RequestSpans } from '../../observe/request-spans.ts'
import { uuid } from '../../protocol/client-messages.ts'
import { CURSOR_PATTERN } from '../../protocol/values.ts'
import type { UserLog } from '../../store/store.ts'
import { createPageAnswers } from '../answer/page-answers.ts'
import { readBody } from '../request/body.ts'
import type { ClientOf } from '../request/client.ts'
import { historyOf } from './history.ts'

interface MeOptions {
  /** Undefined if neither queue nor acknowledgement is enabled. */
  readonly log: UserLog | undefined
  /** Undefined without ACK_ENABLED. */
  readonly acknowledgement: Acknowledgement | undefined
  readonly clientOf: ClientOf
  /** Absent without traces. */
  readonly spans?: RequestSpans | undefined
}

export const MAX_BODY_BYTES = 65_536
const MAX_IDS = 1_000

export const acks = v.pipe(
  v.object({
    notification_ids: v.nullish(listOf(uuid, MAX_IDS, { minItems: 1 })),
    cursor: documented(v.nullish(v.string()), { pattern: CURSOR_PATTERN.source }),
  }),
  rule(
    ({ notification_ids, cursor }) => (typeof cursor === 'string') !== Array.isArray(notification_ids),
    'either `notification_ids` or `cursor`',
    {
      // Repeats `items`: some client generators require it of every array.
      oneOf: [
        {
          required: ['notification_ids'],
          properties: { notification_ids: { type: 'array', items: { type: 'string' } } },
        },
        { required: ['cursor'], properties: { cursor: { type: 'string' } } },
      ],
    },
  ),
)
const format = formatOf(acks)

async function ackIds(by: Acknowledgement | undefined, owner: Topic, given: readonly string[]) {
  const fault =
    lengthFault('notification_ids', given, MAX_IDS) ??
    (given.length === 0
      ? { path: 'notification_ids', message: 'expected at least 1 item (got 0)' }
      : undefined)
  if (fault !== undefined) throw invalidValue(fault.path, fault.message)
  if (by === undefined) return { acked: [], invalid: [] }
  const ids = [...new Set(given)]
  const found = await Promise.try(by.ack, owner, ids).catch(storeUnavailable)
  const isKnown = (_: string, n: number) => found[n] !== undefined
  return { acked: ids.filter(isKnown), invalid: ids.filter((id, n) => !isKnown(id, n)) }
}

async function ackCursor(by: Acknowledgement | undefined, owner: Topic, text: string) {
  if (by === undefined) return { cursor: text, acked_count: 0 }
  const cursor = parseCursor(text)
  const count = cursor && (await by.ackThrough(owner, cursor).catch(storeUnavailable))
  if (count === undefined) throw invalidValue('cursor', 'expected a cursor of your log')
  return { cursor: text, acked_count: count }
}

/** Routes for clients, with their token: their log and their acknowledgements. */
export function meRoutes({ log, acknowledgement, clientOf, spans }: MeOptions) {
  const answerPage = createPageAnswers()
  const route = (summary: string) => ({ detail: { summary, security: [{ token: [] }] } })

  return new Elysia({ name: 'me', prefix: '/api/v1/me' })
    .get(
      '/notifications',
      async ({ request, set, server }) => {
        const client = await clientOf(request, set.headers as Record<string, string | number>)
        const identity = userTopic(client.tenant, client.user)
        return answerPage({ request, identity, server }, () =>
          historyOf(log, { ...client, span: spans?.of(request) }, request.url),
        )
      },
      route('Lists the log of the client'),
    )
    .post(
      '/acks',
      async ({ request, set }) => {
        const { tenant, user } = await clientOf(request, set.headers as Record<string, string | number>)
        const { value } = await readBody(request, format, MAX_BODY_BYTES)
        const owner = userTopic(tenant, user)
        const { notification_ids, cursor } = value
        return typeof cursor === 'string'
          ? ackCursor(acknowledgement, owner, cursor)
          : ackIds(acknowledgement, owner, notification_ids ?? [])
      },
      { parse: 'none', ...route('Acknowledges notifications of the client') },
    )
}
