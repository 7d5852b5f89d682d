import * as v from 'valibot'
import { anyJson, documented } from '../lib/json/document.ts'
import { audience } from './audience.ts'
import { SOCKET_ERROR_CODES, STREAM_ERROR_CODES } from './error-codes.ts'
import { count, cursor, id, PRIORITIES, timestamp } from './values.ts'

const seconds = count

/** Fields of a notification, as clients receive it and as listings show it. */
export const notificationFields = {
  type: v.literal('notification'),
  id,
  occurred_at: timestamp,
  event_type: v.string(),
  payload: anyJson,
  metadata: v.object({
    source: documented(v.string(), { description: '`http-api`, or `redis:` and the channel' }),
    priority: v.picklist(PRIORITIES),
    ttl: v.optional(count),
    audience: v.optional(audience),
    correlation_id: v.optional(v.string()),
  }),
}

/** Tell whether a connection or a listing continues its cursor without a gap. */
export const resumeFields = {
  recovered: documented(v.boolean(), { description: 'Whether no entry after the cursor is missing' }),
  reason: v.optional(
    documented(v.picklist(['epoch_changed', 'trimmed']), {
      description: 'Why not: the log is a new one, or overflow or age removed entries behind the cursor',
    }),
  ),
}

const messageOf = <T extends string, E extends v.ObjectEntries>(type: T, fields: E) =>
  v.object({ type: v.literal(type), ...fields })

const errorOf = <const C extends readonly string[]>(codes: C) =>
  messageOf('error', { code: v.picklist(codes), message: v.string() })

const SHARED = {
  notification: v.object({
    ...notificationFields,
    cursor: v.optional(cursor),
    redelivered: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.description('Number of times it was redelivered for lack of an acknowledgement'),
      ),
    ),
  }),
  connected: messageOf('connected', {
    connection_id: id,
    user_id: v.string(),
    cursor: documented(v.nullable(cursor), {
      description: 'The connection starts behind it; null without a log',
    }),
    ...resumeFields,
    replayed: v.pipe(count, v.description('Number of retained notifications behind it')),
    expires_in: v.pipe(seconds, v.description('Seconds until the token expires')),
    heartbeat_seconds: v.pipe(
      seconds,
      v.description('Longest time between heartbeats; without one the network is down'),
    ),
    channels: v.optional(
      documented(v.array(v.string()), {
        description: 'Channels of the address, on a stream only: their notifications follow',
      }),
    ),
  }),
  heartbeat: messageOf('heartbeat', {}),
  token_expiring: messageOf('token_expiring', { in: seconds }),
  shutdown: messageOf('shutdown', { reason: v.string(), reconnect_after_seconds: seconds }),
}

/** Schemas of the messages that the server sends on a WebSocket, by `type`. */
export const SOCKET_MESSAGES = {
  ...SHARED,
  subscribed: messageOf('subscribed', { payload: v.array(v.string()) }),
  unsubscribed: messageOf('unsubscribed', { payload: v.array(v.string()) }),
  pong: messageOf('pong', {}),
  acked: v.union([
    messageOf('acked', { notification_id: id, late: v.optional(v.literal(true)) }),
    messageOf('acked', { cursor }),
  ]),
  authenticated: messageOf('authenticated', { expires_in: seconds }),
  error: errorOf(SOCKET_ERROR_CODES),
}

/** Schemas of the messages that the server sends on a stream, by `type`. */
export const STREAM_MESSAGES = { ...SHARED, error: errorOf(STREAM_ERROR_CODES) }

type MessageIn<T extends Readonly<Record<string, v.GenericSchema>>> = v.InferOutput<T[keyof T]>

export type SocketMessage = MessageIn<typeof SOCKET_MESSAGES>
export type StreamMessage = MessageIn<typeof STREAM_MESSAGES>
export type ServerMessage = SocketMessage | StreamMessage
