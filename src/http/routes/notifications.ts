import { Elysia } from 'elysia'
import * as v from 'valibot'
import { type ComposeError, type Composer, refusalOf } from '../../dispatch/compose.ts'
import type { Dispatch, Outcome } from '../../dispatch/dispatcher.ts'
import type { Once, Try } from '../../dispatch/once.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { type Awaitable, whenReady } from '../../lib/flow/awaitable.ts'
import { type Document, type Fault, formatOf } from '../../lib/json/document.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { isoOf } from '../../lib/time/iso.ts'
import {
  audienceFault,
  type Content,
  idempotencyKey,
  lengthFault,
  MAX,
  sending,
} from '../../notification/content.ts'
import { isOverFanOut, MAX_FAN_OUT_BYTES } from '../../notification/fan-out.ts'
import type { Notification } from '../../notification/notification.ts'
import type { Target } from '../../notification/target.ts'
import { audience, channelName, channelNames, userId, userIds } from '../../protocol/audience.ts'
import { useBody } from '../request/body.ts'
import type { Caller, Callers } from '../request/caller.ts'
import { answering } from '../request/keyed.ts'

export const MAX_BODY_BYTES = 65_536
/** `metadata.source` of notifications sent over HTTP. */
export const SOURCE = 'http-api'

const keyed = { idempotency_key: v.nullish(idempotencyKey) }
export const formats = {
  user: formatOf(sending({ target_user_id: userId, ...keyed })),
  users: formatOf(sending({ target_user_ids: userIds, ...keyed })),
  broadcast: formatOf(sending({ audience: v.nullish(audience), ...keyed })),
  channel: formatOf(sending({ channel: channelName, ...keyed })),
  channels: formatOf(sending({ channels: channelNames, ...keyed })),
}

/** Content of a send and its idempotency key; each route adds its target. */
type KeyedContent = Content & { readonly idempotency_key?: string | null | undefined }

function check(fault: Fault | undefined): void {
  if (fault !== undefined) throw invalidValue(fault.path, fault.message)
}

/** Rejects a call or batch that would store too many bytes for its users. */
export const fanOutTooLarge = (): AppError =>
  new AppError('PAYLOAD_TOO_LARGE', {
    message: `Recipients times payload must be at most ${MAX_FAN_OUT_BYTES} bytes: send to fewer users at once.`,
  })

function checkFanOut(target: Target, payload: string): void {
  if (isOverFanOut([{ target, payloadBytes: () => Buffer.byteLength(payload) }])) throw fanOutTooLarge()
}

/** JSON text of the answer to a send: none of its values needs an escape. */
const resultOf = ({ notificationId, deliveredTo, failed, queued, status }: Outcome, now: number): string =>
  `{"success":${deliveredTo > 0 || queued > 0},"notification_id":"${notificationId}","delivered_to":${deliveredTo},` +
  `"failed":${failed},"timestamp":"${isoOf(now)}","queued":${queued},"status":"${status}"}`

/** The part of Elysia's context that a send needs. */
interface SendContext {
  readonly request: Request
  readonly set: { readonly headers: Record<string, string | number> }
}

/** Parts that every send over HTTP needs. */
export interface SendOptions {
  readonly composer: Composer
  readonly dispatch: Dispatch
  readonly once: Once
  readonly callers: Callers
  readonly clock: Clock
}

/** Options of a route whose handler reads the body itself and gives the JSON text of its answer. */
export const straightRoute = (summary: string) => ({
  parse: 'none' as const,
  detail: { summary, security: [{ apiKey: [] }], 'x-straight': true } as object,
})

/** Routes of the five sends. */
export function notificationRoutes({ composer, dispatch, once, callers, clock }: SendOptions) {
  const answer = answering(once)

  const answerOf = (outcome: Outcome): string => resultOf(outcome, clock.now())

  const deliver = (
    notification: Notification | ComposeError,
    target: Target,
    { tenant, span }: Caller,
  ): Awaitable<string> => {
    if ('reason' in notification) throw refusalOf(notification)
    if (target.type === 'users') checkFanOut(target, notification.payload)
    return whenReady(dispatch({ tenant, target, notification, span }), answerOf)
  }

  /** Without a template and a log nothing here is a promise: the answer is made in this turn. */
  const carryOut = (
    { value: content, raw }: Document<KeyedContent>,
    target: Target,
    caller: Caller,
    as: Try | undefined,
  ): Awaitable<string> => {
    const now = as?.storedAt ?? clock.now()
    const draft = { content, raw, at: '', source: SOURCE, now, id: as?.id }
    if ('payload' in content) return deliver(composer.compose(draft), target, caller)
    return composer
      .find(caller.tenant, content.template_id)
      .then(found => deliver(composer.compose(draft, found), target, caller))
  }

  const send = ({ request, set }: SendContext, body: Document<KeyedContent>, target: Target) => {
    const caller = callers.of(request)
    const { tenant } = caller
    const keyed = { request, tenant, key: body.value.idempotency_key, text: body.text }
    return answer(keyed, set, as => carryOut(body, target, caller, as))
  }

  return new Elysia({ name: 'notifications', prefix: '/api/v1/notifications' })
    .post(
      '/send',
      context =>
        useBody(context.request, formats.user, MAX_BODY_BYTES, body =>
          send(context, body, { type: 'user', user: body.value.target_user_id }),
        ),
      straightRoute('Sends to one user'),
    )
    .post(
      '/send-to-users',
      context =>
        useBody(context.request, formats.users, MAX_BODY_BYTES, body => {
          check(lengthFault('target_user_ids', body.value.target_user_ids, MAX.users))
          return send(context, body, { type: 'users', users: body.value.target_user_ids })
        }),
      straightRoute('Sends to several users'),
    )
    .post(
      '/broadcast',
      context =>
        useBody(context.request, formats.broadcast, MAX_BODY_BYTES, body => {
          check(audienceFault(body.value.audience))
          return send(context, body, { type: 'broadcast' })
        }),
      straightRoute('Sends to all connected clients'),
    )
    .post(
      '/channel',
      context =>
        useBody(context.request, formats.channel, MAX_BODY_BYTES, body =>
          send(context, body, { type: 'channel', channel: body.value.channel }),
        ),
      straightRoute('Sends to the subscribers of a channel'),
    )
    .post(
      '/channels',
      context =>
        useBody(context.request, formats.channels, MAX_BODY_BYTES, body => {
          check(lengthFault('channels', body.value.channels, MAX.channels))
          return send(context, body, { type: 'channels', channels: body.value.channels })
        }),
      straightRoute('Sends to the subscribers of several channels, once per connection'),
    )
}
