import { createCaller } from './caller.ts'
import { signToken } from './token.ts'
import type { Message, SendResult, ServerClient, ServerOptions } from './types.ts'

const NOTIFICATIONS = '/api/v1/notifications'

/**
 * Creates a client for a backend. A failed call is tried again on 429, 502, 503, 504 and without an answer, as long
 * as `Retry-After` says. Each send has an idempotency key, so that a repeat sends nothing twice.
 */
export function createServerClient<Events extends object = Record<string, unknown>>(
  options: ServerOptions,
): ServerClient<Events> {
  const call = createCaller(options)

  const send = (path: string, { idempotency_key, ...message }: Message<Events>, target: object) =>
    call(
      `${NOTIFICATIONS}/${path}`,
      { ...target, ...message },
      idempotency_key ?? crypto.randomUUID(),
    ) as Promise<SendResult>

  return {
    user: (id, message) => send('send', message, { target_user_id: id }),
    users: (ids, message) => send('send-to-users', message, { target_user_ids: ids }),
    channel: (name, message) => send('channel', message, { channel: name }),
    channels: (names, message) => send('channels', message, { channels: names }),
    broadcast: message => send('broadcast', message, {}),
    batch: (items, { idempotency_key = crypto.randomUUID(), ...rules } = {}) =>
      call(`${NOTIFICATIONS}/batch`, { notifications: items, options: rules }, idempotency_key) as never,
    disconnect: (user, rules) =>
      call(`/api/v1/users/${encodeURIComponent(user)}/disconnect`, rules, undefined) as never,
    token: wanted =>
      signToken(options.secret, { ...(options.tenant && { tenant: options.tenant }), ...wanted }),
  }
}
