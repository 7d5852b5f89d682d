import type { Operations } from '../openapi/operation.ts'

const cursor = {
  name: 'cursor',
  in: 'query',
  description:
    'The last cursor that the client received: the connection starts after it. Empty: the client has received nothing. Any ' +
    'other text is no cursor of this log, and the whole log follows',
  schema: { type: 'string' },
  example: '',
} as const

const channels = {
  name: 'channels',
  in: 'query',
  description:
    'Channels to subscribe to from the start, separated by commas: at most WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION, or the limit of ' +
    'the tenant. Each must be allowed by the token, else 403',
  schema: { type: 'string' },
  example: 'orders,alerts',
} as const

export const connectionOperations: Operations = {
  'GET /ws': {
    id: 'openWebSocket',
    tag: 'Clients',
    description:
      'With a `cursor`, even an empty one, the first message tells where the connection starts. The token may also be sent as ' +
      '`Sec-WebSocket-Protocol: bearer, <token>`.',
    parameters: [cursor, channels],
    answer: { status: 101, description: 'Messages follow: see `docs/asyncapi.yaml`' },
    errors: ['FORBIDDEN', 'UPGRADE_REQUIRED', 'SHUTTING_DOWN'],
    examples: {},
  },
  'GET /sse': {
    id: 'openStream',
    tag: 'Clients',
    description: 'Notifications to the user, broadcasts, and notifications to the channels of the address.',
    parameters: [
      cursor,
      channels,
      {
        name: 'Last-Event-ID',
        in: 'header',
        description: 'Like `cursor`, and takes precedence over it. Browsers send it automatically',
        schema: { type: 'string' },
      },
    ],
    answer: {
      status: 200,
      description: 'Events: see `docs/asyncapi.yaml`',
      mediaType: 'text/event-stream',
    },
    errors: ['FORBIDDEN', 'CONNECTION_LIMIT', 'SHUTTING_DOWN'],
    examples: {
      resumed: {
        summary: 'First events of a client that has received nothing, with two channels',
        answer: `: heartbeat
event: connected
data: {"type":"connected","connection_id":"5e0a0a52-7a35-4c0e-9a53-0d7f0a6b1f11","user_id":"u-7","cursor":"k3f9:0","recovered":true,"replayed":1,"expires_in":3540,"heartbeat_seconds":30,"channels":["orders","alerts"]}

id: k3f9:1
event: notification
data: {"type":"notification","id":"6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11","occurred_at":"2026-01-02T03:04:05.678Z","event_type":"invoice.paid","payload":{"no":42,"ok":true},"metadata":{"source":"http-api","priority":"High","ttl":600,"correlation_id":"c-1"},"cursor":"k3f9:1"}

`,
      },
    },
  },
}
