import type * as v from 'valibot'
import { CLIENT_MESSAGES, type ClientMessage } from '../../src/protocol/client-messages.ts'
import { SOCKET_MESSAGES, STREAM_MESSAGES } from '../../src/protocol/server-messages.ts'

/** A message of the document. An example of an answer has the name of the example that it answers. */
export interface Message {
  readonly summary: string
  readonly schema: v.GenericSchema
  readonly examples: Readonly<Record<string, object>>
}

const ID = '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11'
const UNKNOWN_ID = '11111111-1111-4111-8111-111111111111'

/** Messages that clients send. */
export const SENT_BY_CLIENTS: Readonly<
  Record<ClientMessage['type'], Message & { readonly answers: readonly string[] }>
> = {
  Subscribe: {
    summary: 'Subscribe to channels. One `error` lists the names that were refused.',
    schema: CLIENT_MESSAGES.Subscribe,
    examples: {
      channels: { type: 'Subscribe', payload: { channels: ['orders', 'system'] } },
      'no name': { type: 'Subscribe', payload: { channels: ['x y'] } },
    },
    answers: ['subscribed', 'error'],
  },
  Unsubscribe: {
    summary: 'Unsubscribe from channels.',
    schema: CLIENT_MESSAGES.Unsubscribe,
    examples: { 'a channel': { type: 'Unsubscribe', payload: { channels: ['orders'] } } },
    answers: ['unsubscribed'],
  },
  Ping: {
    summary: 'Ask for a `pong`.',
    schema: CLIENT_MESSAGES.Ping,
    examples: { ping: { type: 'Ping' } },
    answers: ['pong'],
  },
  Ack: {
    summary:
      'Acknowledge one notification, or everything up to a cursor. With `ACK_ENABLED=false` there is no answer.',
    schema: CLIENT_MESSAGES.Ack,
    examples: {
      'a notification': { type: 'Ack', payload: { notification_id: ID } },
      'up to a cursor': { type: 'Ack', payload: { cursor: 'k3f9:12' } },
      'an unknown id': { type: 'Ack', payload: { notification_id: UNKNOWN_ID } },
    },
    answers: ['acked', 'error'],
  },
  Auth: {
    summary: 'Present a new token of the same user, without reconnecting.',
    schema: CLIENT_MESSAGES.Auth,
    examples: {
      'a token': { type: 'Auth', payload: { token: 'eyJ0.eyJz.c2ln' } },
      'no token': { type: 'Auth', payload: { token: 'x' } },
    },
    answers: ['authenticated', 'error'],
  },
}

/** Messages that the server sends on WebSockets and streams. */
export const COMMON_ANSWERS = {
  notification: {
    summary: 'A notification. On a stream `id:` is the cursor, so that a browser resumes by itself.',
    schema: SOCKET_MESSAGES.notification,
    examples: {
      'in the log': {
        type: 'notification',
        id: ID,
        occurred_at: '2026-01-02T03:04:05.678Z',
        event_type: 'invoice.paid',
        payload: { no: 42, ok: true },
        metadata: { source: 'http-api', priority: 'High', ttl: 600, correlation_id: 'c-1' },
        cursor: 'k3f9:12',
      },
      'to a role': {
        type: 'notification',
        id: ID,
        occurred_at: '2026-01-02T03:04:05.678Z',
        event_type: 'maintenance',
        payload: null,
        metadata: {
          source: 'http-api',
          priority: 'Normal',
          audience: { type: 'Roles', value: ['admin'] },
        },
      },
    },
  },
  connected: {
    summary:
      'The first message: where the connection starts. On a WebSocket only for clients that gave `cursor`.',
    schema: SOCKET_MESSAGES.connected,
    examples: {
      resumed: {
        type: 'connected',
        connection_id: '5e0a0a52-7a35-4c0e-9a53-0d7f0a6b1f11',
        user_id: 'u-7',
        cursor: 'k3f9:0',
        recovered: true,
        replayed: 1,
        expires_in: 3540,
        heartbeat_seconds: 30,
      },
      'from another log': {
        type: 'connected',
        connection_id: '5e0a0a52-7a35-4c0e-9a53-0d7f0a6b1f11',
        user_id: 'u-7',
        cursor: 'p0aa:0',
        recovered: false,
        reason: 'epoch_changed',
        replayed: 1,
        expires_in: 3540,
        heartbeat_seconds: 30,
      },
    },
  },
  heartbeat: {
    summary: 'Sent every `WEBSOCKET_HEARTBEAT_INTERVAL` seconds.',
    schema: SOCKET_MESSAGES.heartbeat,
    examples: { heartbeat: { type: 'heartbeat' } },
  },
  token_expiring: {
    summary: 'The token expires in `in` seconds. On a WebSocket only for clients that gave `cursor`.',
    schema: SOCKET_MESSAGES.token_expiring,
    examples: { soon: { type: 'token_expiring', in: 25 } },
  },
  shutdown: {
    summary:
      'The node shuts down and closes the connection. On a stream `retry:` also gives the time to reconnect.',
    schema: SOCKET_MESSAGES.shutdown,
    examples: {
      drain: { type: 'shutdown', reason: 'server is draining', reconnect_after_seconds: 3 },
    },
  },
} satisfies Record<string, Message>

/** Messages that the server sends on a WebSocket, by `type`. */
export const WEBSOCKET: Readonly<Record<string, Message>> = {
  ...COMMON_ANSWERS,
  subscribed: {
    summary:
      'The client receives all notifications to these channels from now on. Also sent for the channels of the address.',
    schema: SOCKET_MESSAGES.subscribed,
    examples: { channels: { type: 'subscribed', payload: ['orders', 'system'] } },
  },
  unsubscribed: {
    summary:
      'The client receives no more from these channels. Also sent when a new token does not allow them.',
    schema: SOCKET_MESSAGES.unsubscribed,
    examples: { 'a channel': { type: 'unsubscribed', payload: ['orders'] } },
  },
  pong: {
    summary: 'The answer to `Ping`.',
    schema: SOCKET_MESSAGES.pong,
    examples: { ping: { type: 'pong' } },
  },
  acked: {
    summary:
      'The notification is acknowledged on all devices of the user. `late`: it had been given up before.',
    schema: SOCKET_MESSAGES.acked,
    examples: {
      'a notification': { type: 'acked', notification_id: ID },
      'up to a cursor': { type: 'acked', cursor: 'k3f9:12' },
    },
  },
  authenticated: {
    summary: 'The new token is in force.',
    schema: SOCKET_MESSAGES.authenticated,
    examples: { 'a token': { type: 'authenticated', expires_in: 3600 } },
  },
  error: {
    summary: 'A message was refused. The connection stays open, unless the table says otherwise.',
    schema: SOCKET_MESSAGES.error,
    examples: {
      'no name': { type: 'error', code: 'SUBSCRIPTION_ERROR', message: 'x y: invalid name' },
      'an unknown id': {
        type: 'error',
        code: 'INVALID_ACK',
        message: 'no notification that you got has this id',
      },
      'no token': {
        type: 'error',
        code: 'UNAUTHORIZED',
        message: 'The token is invalid; the one before still counts.',
      },
    },
  },
}

/** Messages that the server sends on a stream, by `type`. */
export const STREAM: Readonly<Record<string, Message>> = {
  ...COMMON_ANSWERS,
  error: {
    summary: 'The reason why the stream ends.',
    schema: STREAM_MESSAGES.error,
    examples: {
      'sent away': { type: 'error', code: 'FORBIDDEN', message: 'disconnected by the backend' },
    },
  },
}
