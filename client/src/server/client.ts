import { createCaller } from './caller.ts'
import { checkKey, checkObject, checkUser } from './check.ts'
import { signToken } from './token.ts'
import type {
  BatchResult,
  CallOptions,
  DisconnectResult,
  Message,
  SendResult,
  ServerClient,
  ServerOptions,
} from './types.ts'

const NOTIFICATIONS = '/api/v1/notifications'

/** A key that the caller chose, or a new one. */
function keyOf(chosen: string | null | undefined): string {
  const key = chosen ?? crypto.randomUUID()
  checkKey(key)
  return key
}

/**
 * Creates a client for a backend. A failed call is tried again on 429, 502, 503, 504 and without an answer, as long
 * as `Retry-After` says. Each send has an idempotency key, so that a repeat sends nothing twice. Throws an
 * `AraError` with code `INVALID_ARGUMENT` for options that cannot be used.
 */
export function createServerClient<Events extends object = Record<string, unknown>>(
  options: ServerOptions,
): ServerClient<Events> {
  const call = createCaller(options)

  const send = async (
    path: string,
    target: object,
    message: Message<Events>,
    { signal }: CallOptions = {},
  ) => {
    checkObject('message', message, 'event_type and payload, or template_id')
    const { idempotency_key, ...content } = message
    // The target last: content that a program passes on must not change it.
    const body = { ...content, ...target }
    return (await call({
      path: `${NOTIFICATIONS}/${path}`,
      body,
      key: keyOf(idempotency_key),
      signal,
    })) as SendResult
  }

  return {
    user: (id, message, how) => send('send', { target_user_id: id }, message, how),
    users: (ids, message, how) => send('send-to-users', { target_user_ids: ids }, message, how),
    channel: (name, message, how) => send('channel', { channel: name }, message, how),
    channels: (names, message, how) => send('channels', { channels: names }, message, how),
    broadcast: (message, how) => send('broadcast', {}, message, how),
    batch: async (items, { idempotency_key, signal, ...rules } = {}) => {
      const body = { notifications: items, options: rules }
      return (await call({
        path: `${NOTIFICATIONS}/batch`,
        body,
        key: keyOf(idempotency_key),
        signal,
      })) as BatchResult
    },
    disconnect: async (user, { signal, ...body } = {}) => {
      checkUser(user)
      return (await call({
        path: `/api/v1/users/${encodeURIComponent(user)}/disconnect`,
        body,
        signal,
      })) as DisconnectResult
    },
    token: wanted => signToken(options, wanted),
  }
}
