import { Elysia } from 'elysia'
import * as v from 'valibot'
import type { Dispatch, Outcome } from '../dispatch/dispatcher.ts'
import { meaningless } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Audience } from '../notification/audience.ts'
import { hasControl, isChannel, isEventType, isUserId, isWithin } from '../notification/names.ts'
import { type Notification, PRIORITIES } from '../notification/notification.ts'
import type { Target } from '../notification/target.ts'
import { anyJson, type Body, bodyFormat, integer, readBody } from './body.ts'

const MAX_BODY_BYTES = 65_536
const MAX_TTL_SECONDS = 4_294_967_295
const MAX = { users: 10_000, channels: 100, roles: 100 } as const
/** Everything is one tenant's as long as there is only one. */
const TENANT = 'default'

const userId = v.pipe(v.string(), v.check(isUserId, '1 to 256 bytes, no control characters'))
const channel = v.pipe(v.string(), v.check(isChannel, '1 to 64 letters, digits, _ . or -'))
const correlationId = v.pipe(
  v.string(),
  v.check(text => isWithin(text, 256) && !hasControl(text), 'at most 256 characters, no control characters'),
)
const audience = v.variant('type', [
  v.object({ type: v.literal('All') }),
  v.object({ type: v.literal('Roles'), value: v.array(v.string()) }),
  v.object({ type: v.literal('Users'), value: v.array(userId) }),
  v.object({ type: v.literal('Channels'), value: v.array(channel) }),
])

/** What every send says beside its target (contract §4.1). */
const content = {
  event_type: v.pipe(v.string(), v.check(isEventType, '1 to 128 characters, no control characters')),
  payload: anyJson,
  priority: v.nullish(v.picklist(PRIORITIES)),
  ttl: v.nullish(integer(0, MAX_TTL_SECONDS)),
  correlation_id: v.nullish(correlationId),
}
type Content = v.InferOutput<v.ObjectSchema<typeof content, undefined>> & {
  readonly audience?: Audience | null | undefined
}

const formats = {
  user: bodyFormat(v.object({ target_user_id: userId, ...content }), MAX_BODY_BYTES),
  users: bodyFormat(v.object({ target_user_ids: v.array(userId), ...content }), MAX_BODY_BYTES),
  broadcast: bodyFormat(v.object({ audience: v.nullish(audience), ...content }), MAX_BODY_BYTES),
  channel: bodyFormat(v.object({ channel, ...content }), MAX_BODY_BYTES),
  channels: bodyFormat(v.object({ channels: v.array(channel), ...content }), MAX_BODY_BYTES),
}

function checkLength(path: string, list: readonly unknown[], most: number): void {
  if (list.length > most) throw meaningless(path, `at most ${most} items`)
}

function checkAudience(given: Audience | null | undefined): void {
  if (!given || given.type === 'All') return
  const most = { Roles: MAX.roles, Users: MAX.users, Channels: MAX.channels }[given.type]
  checkLength('audience.value', given.value, most)
}

function notificationOf({ value, raw }: Body<Content>, now: number): Notification {
  const { event_type, priority, ttl, correlation_id, audience } = value
  return {
    id: crypto.randomUUID(),
    occurredAt: now,
    eventType: event_type,
    payload: raw.get('payload') ?? 'null',
    source: 'http-api',
    priority: priority ?? 'Normal',
    ...(typeof ttl === 'number' && { ttl }),
    ...(audience && { audience }),
    ...(typeof correlation_id === 'string' && { correlationId: correlation_id }),
  }
}

/** The send result (contract §3.5). */
const resultOf = ({ notificationId, deliveredTo, failed, queued, status }: Outcome, now: number) => ({
  success: deliveredTo > 0 || queued > 0,
  notification_id: notificationId,
  delivered_to: deliveredTo,
  failed,
  timestamp: new Date(now).toISOString(),
  queued,
  status,
})

/** The five sends. */
export function notificationRoutes({
  dispatch,
  clock,
}: {
  readonly dispatch: Dispatch
  readonly clock: Clock
}) {
  const send = async (body: Body<Content>, target: Target) => {
    const notification = notificationOf(body, clock.now())
    return resultOf(await dispatch({ tenant: TENANT, target, notification }), clock.now())
  }
  const route = (summary: string) => ({
    parse: 'none' as const,
    detail: { summary, security: [{ apiKey: [] }] },
  })

  return new Elysia({ name: 'notifications', prefix: '/api/v1/notifications' })
    .post(
      '/send',
      async ({ request }) => {
        const body = await readBody(request, formats.user)
        return send(body, { type: 'user', user: body.value.target_user_id })
      },
      route('To one user'),
    )
    .post(
      '/send-to-users',
      async ({ request }) => {
        const body = await readBody(request, formats.users)
        checkLength('target_user_ids', body.value.target_user_ids, MAX.users)
        return send(body, { type: 'users', users: body.value.target_user_ids })
      },
      route('To several users'),
    )
    .post(
      '/broadcast',
      async ({ request }) => {
        const body = await readBody(request, formats.broadcast)
        checkAudience(body.value.audience)
        return send(body, { type: 'broadcast' })
      },
      route('To everyone connected'),
    )
    .post(
      '/channel',
      async ({ request }) => {
        const body = await readBody(request, formats.channel)
        return send(body, { type: 'channel', channel: body.value.channel })
      },
      route('To the subscribers of a channel'),
    )
    .post(
      '/channels',
      async ({ request }) => {
        const body = await readBody(request, formats.channels)
        checkLength('channels', body.value.channels, MAX.channels)
        return send(body, { type: 'channels', channels: body.value.channels })
      },
      route('To the subscribers of several channels, each once'),
    )
}
