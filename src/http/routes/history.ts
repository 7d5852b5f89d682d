import { Elysia } from 'elysia'
import type { TracedLog } from '../../dispatch/observed/spans.ts'
import { startOf } from '../../dispatch/start.ts'
import { AppError, invalidValue, storeUnavailable } from '../../errors.ts'
import type { Query } from '../../lib/query.ts'
import { isoOf } from '../../lib/time/iso.ts'
import type { Span } from '../../lib/trace-context.ts'
import { type Cursor, formatCursor, parseCursor } from '../../notification/cursor.ts'
import { userOf, userTopic } from '../../notification/topic.ts'
import type { DeliveryReport, ListedEntry, UserLog } from '../../store/store.ts'
import { createPageAnswers, keyOf, MAX_PAGE_BYTES } from '../answer/page-answers.ts'
import type { Callers } from '../request/caller.ts'
import { integerIn, queryOf, segment } from '../request/parameters.ts'

export const LIMIT = { least: 1, most: 1_000, otherwise: 100 }
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const reportOf = ({ id, eventType, occurredAt, expiresAt, recipients }: DeliveryReport) => ({
  id,
  event_type: eventType,
  occurred_at: isoOf(occurredAt),
  ...(expiresAt !== undefined && { expires_at: isoOf(expiresAt) }),
  recipients: recipients.map(({ owner, state, attempts, at }) => ({
    user_id: userOf(owner),
    state,
    attempts,
    at: isoOf(at),
  })),
})

function cursorIn(query: Query): Cursor | undefined {
  const text = query.get('after')
  if (text === null || text === '') return undefined
  const cursor = parseCursor(text)
  if (cursor === undefined) throw invalidValue('after', 'expected a cursor')
  return cursor
}

/** JSON text of a notification as its user receives it, with its state. */
const entryText = ({ seq, body, state }: ListedEntry, epoch: string): string =>
  `${body},"cursor":"${formatCursor({ epoch, seq })}","state":"${state}"}`

/** The user whose log is listed, and the span of a traced request. */
interface Reader {
  readonly tenant: string
  readonly user: string
  readonly span?: Span | undefined
}

type ListedLog = Pick<UserLog, 'open' | 'count'> & Pick<TracedLog, 'list'>

/** JSON text of a user's log, with payloads exactly as sent; empty without a log. */
export async function historyOf(
  log: ListedLog | undefined,
  { tenant, user, span }: Reader,
  url: string,
): Promise<string> {
  const query = queryOf(url, ['after', 'limit'])
  const after = cursorIn(query)
  const limit = { entries: integerIn(query, 'limit', LIMIT), bytes: MAX_PAGE_BYTES }
  const user_id = JSON.stringify(user)
  const answer = (text: string) => `{"user_id":${user_id},${text}}`
  if (log === undefined) {
    const place = after === undefined ? '"recovered":true' : '"recovered":false,"reason":"epoch_changed"'
    return answer(`"notifications":[],"cursor":null,"has_more":false,${place}`)
  }
  const owner = userTopic(tenant, user)
  const opened = await log.open(owner).catch(storeUnavailable)
  const { position, recovered, reason } = startOf(opened, {
    cursor: after === undefined ? '' : formatCursor(after),
  })
  const { epoch, entries, through } = await log.list(owner, position, limit, span).catch(storeUnavailable)
  const last = entries.at(-1)
  const hasMore = last !== undefined && (await log.count(owner, last.seq).catch(storeUnavailable)) > 0
  const cursor = formatCursor({ epoch, seq: last?.seq ?? through })
  const rest = { cursor, has_more: hasMore, recovered, ...(reason && { reason }) }
  const notifications = entries.map(entry => entryText(entry, epoch)).join(',')
  return answer(`"notifications":[${notifications}],${JSON.stringify(rest).slice(1, -1)}`)
}

/** Routes for backends: the delivery report of a notification and the log of a user. */
export function historyRoutes({
  log,
  callers,
}: {
  readonly log: UserLog | undefined
  readonly callers: Callers
}) {
  const answerPage = createPageAnswers()
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'history', prefix: '/api/v1' })
    .get(
      '/notifications/:id',
      ({ request, params, server }) => {
        const id = segment('id', params.id).toLowerCase()
        const query = queryOf(request.url, ['after', 'limit'])
        const limit = integerIn(query, 'limit', LIMIT)
        const { tenant } = callers.of(request)
        const user = query.get('after')
        const after = user === null || user === '' ? {} : { after: userTopic(tenant, user) }
        return answerPage({ request, identity: keyOf(request), server, isLookUp: true }, async () => {
          const report = UUID.test(id)
            ? await log?.report(tenant, id, { ...after, limit }).catch(storeUnavailable)
            : undefined
          if (report === undefined) throw new AppError('NOTIFICATION_NOT_FOUND')
          return JSON.stringify(reportOf(report))
        })
      },
      route('Delivery status of a notification'),
    )
    .get(
      '/users/:user_id/notifications',
      ({ request, params, server }) => {
        const user = segment('user_id', params.user_id)
        const reader = { ...callers.of(request), user }
        return answerPage({ request, identity: keyOf(request), server }, () =>
          historyOf(log, reader, request.url),
        )
      },
      route('Lists the log of a user'),
    )
}
