import { Elysia } from 'elysia'
import * as v from 'valibot'
import { REVOCATION_MS } from '../../auth/revocation.ts'
import type { Reach } from '../../dispatch/reach.ts'
import { AppError, storeUnavailable } from '../../errors.ts'
import { documented, formatOf, integer, rule } from '../../lib/json/document.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { parseTimestamp } from '../../lib/time/timestamp.ts'
import { userTopic } from '../../notification/topic.ts'
import { isUserId } from '../../protocol/names.ts'
import type { Store } from '../../store/store.ts'
import { createPageAnswers, keyOf } from '../answer/page-answers.ts'
import { readOptionalBody } from '../request/body.ts'
import type { Callers } from '../request/caller.ts'
import { segment } from '../request/parameters.ts'

interface UserOptions {
  readonly reach: Pick<Reach, 'census' | 'close'>
  readonly callers: Callers
  readonly store: Pick<Store, 'revocations'>
  readonly clock: Pick<Clock, 'now'>
}

export const MAX_BODY_BYTES = 65_536
/** A backend may look up many users at the same time. */
const MAX_LOOK_UPS_WAITING = 10_000
/** A close frame holds at most 123 bytes of reason (RFC 6455 §5.5). */
const MAX_REASON_BYTES = 120
/** The last second of the year 9999. Rejects milliseconds given by mistake. */
const LAST_SECOND = 253_402_300_799

/** Seconds since 1970 or RFC 3339 text; gives milliseconds. */
const moment = v.pipe(
  v.union(
    [
      v.pipe(
        integer(0, LAST_SECOND),
        v.transform(seconds => seconds * 1_000),
      ),
      v.pipe(documented(v.string(), { format: 'date-time' }), v.transform(parseTimestamp), v.number()),
    ],
    'whole seconds since 1970 or an RFC 3339 timestamp such as 2026-01-02T03:04:05Z',
  ),
  v.metadata({ integer: true }),
)

export const disconnection = v.object({
  reason: v.nullish(
    v.pipe(
      v.string(),
      // A lone surrogate has no UTF-8 bytes for the close frame.
      rule(text => text.isWellFormed() && Buffer.byteLength(text) <= MAX_REASON_BYTES, 'at most 120 bytes', {
        maxLength: MAX_REASON_BYTES,
      }),
    ),
  ),
  issued_before: v.nullish(moment),
})
const format = formatOf(disconnection)

/** Routes of one user: subscriptions, presence and disconnect. */
export function userRoutes({ reach, callers, store, clock }: UserOptions) {
  const find = (request: Request, given: string | null | undefined) => {
    const user = segment('user_id', given)
    return { user, owner: userTopic(callers.of(request).tenant, user) }
  }
  const answerPage = createPageAnswers({ waiting: MAX_LOOK_UPS_WAITING })
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'users', prefix: '/api/v1/users' })
    .get(
      '/:user_id/subscriptions',
      ({ request, params, server }) => {
        const { user, owner } = find(request, params.user_id)
        return answerPage({ request, identity: keyOf(request), server }, async () => {
          const { connections, channels, partial } = await reach.census.subscriptions(owner)
          if (connections === 0 && !partial) throw new AppError('USER_NOT_CONNECTED')
          return JSON.stringify({
            user_id: user,
            connection_count: connections,
            subscriptions: channels,
            partial,
          })
        })
      },
      route('Lists the channels of a user'),
    )
    .get(
      '/:user_id/presence',
      async ({ request, params }) => {
        const { user, owner } = find(request, params.user_id)
        const { connections, nodes, partial } = await reach.census.connections(owner)
        return { user_id: user, online: connections > 0, connections, nodes, partial }
      },
      route('Whether a user is connected'),
    )
    .post(
      '/:user_id/disconnect',
      async ({ request, params }) => {
        const body = await readOptionalBody(request, format, MAX_BODY_BYTES)
        const { reason, issued_before: before } = body?.value ?? {}
        const { user, owner } = find(request, params.user_id)
        // Revokes first: otherwise a client could reconnect with the same token.
        const revoked =
          typeof before === 'number' && isUserId(user)
            ? await store.revocations
                .revoke(owner, before, clock.now() + REVOCATION_MS)
                .catch(storeUnavailable)
            : 'revoked'
        const disconnected = await reach.close(owner, 'disconnected', reason ?? undefined)
        if (revoked === 'full') throw new AppError('TOO_MANY_REVOCATIONS')
        return { user_id: user, disconnected }
      },
      { parse: 'none', ...route('Closes all connections of a user') },
    )
}
