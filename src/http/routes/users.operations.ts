import { PATTERN } from '../../notification/cursor.ts'
import { NAME_RULES } from '../../notification/names.ts'
import { limitOf, type Operations, segmentOf } from '../openapi/operation.ts'
import { MAX_LISTED } from './channels.ts'
import { LIMIT } from './history.ts'
import { MAX_BODY_BYTES } from './users.ts'

const user = segmentOf(
  'user_id',
  'A user; an id that no user can have is answered like an unknown one',
  'u-7',
)

/** Where a listing of a log goes on. */
export const logPage = [
  {
    name: 'after',
    in: 'query',
    description: 'A cursor: what follows it is listed; otherwise from the oldest',
    schema: { type: 'string', pattern: `${PATTERN.source}|^$` },
    example: '',
  },
  limitOf(LIMIT.most, LIMIT.otherwise),
] as const

export const listed = {
  user_id: 'u-7',
  notifications: [
    {
      type: 'notification',
      id: '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11',
      occurred_at: '2026-01-02T03:04:05.678Z',
      event_type: 'invoice.paid',
      payload: { no: 42, ok: true },
      metadata: { source: 'http-api', priority: 'High', ttl: 600, correlation_id: 'c-1' },
      cursor: 'k3f9:12',
      state: 'received',
    },
  ],
  cursor: 'k3f9:12',
  has_more: false,
  recovered: true,
}

const tenantStats = {
  active_connections: 2,
  total_connections: 2,
  messages_sent: 1,
  messages_delivered: 2,
}

export const lookUps: Operations = {
  'GET /api/v1/notifications/:id': {
    id: 'getNotification',
    tag: 'Looking up',
    description: 'Of what went to a channel or to all, with `ttl` 0, or without a log, nothing is known.',
    parameters: [
      segmentOf('id', 'The `notification_id` of a send', listed.notifications[0]?.id ?? '', {
        format: 'uuid',
      }),
      {
        name: 'after',
        in: 'query',
        description: 'A user id: recipients behind it are listed',
        schema: { type: 'string' },
        example: '',
      },
      limitOf(LIMIT.most, LIMIT.otherwise),
    ],
    answer: {
      status: 200,
      description: 'What has become of it for each recipient, in the order of the send',
      schema: 'Trace',
    },
    errors: ['NOTIFICATION_NOT_FOUND', 'STORE_UNAVAILABLE'],
    examples: {
      sent: {
        summary: 'Sent to one user',
        answer: {
          id: '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11',
          event_type: 'invoice.paid',
          occurred_at: '2026-01-02T03:04:05.678Z',
          expires_at: '2026-01-02T03:14:05.678Z',
          recipients: [{ user_id: 'u-7', state: 'received', attempts: 1, at: '2026-01-02T03:04:05.679Z' }],
        },
      },
    },
  },
  'GET /api/v1/users/:user_id/notifications': {
    id: 'listNotificationsOfUser',
    tag: 'Looking up',
    description: 'Oldest first, whether acknowledged or not. Reading changes nothing.',
    parameters: [user, ...logPage],
    answer: { status: 200, description: 'What the log holds', schema: 'Log' },
    errors: ['STORE_UNAVAILABLE'],
    examples: { one: { summary: 'One notification', answer: listed } },
  },
  'GET /api/v1/users/:user_id/subscriptions': {
    id: 'getSubscriptions',
    tag: 'Looking up',
    parameters: [user],
    answer: { status: 200, description: 'Of all connections of the user', schema: 'Subscriptions' },
    errors: ['USER_NOT_CONNECTED'],
    examples: {
      two: {
        summary: 'Two connections',
        answer: { user_id: 'u-7', connection_count: 2, subscriptions: ['orders', 'system'] },
      },
    },
  },
  'GET /api/v1/users/:user_id/presence': {
    id: 'getPresence',
    tag: 'Looking up',
    parameters: [user],
    answer: { status: 200, description: 'WebSockets and streams alike', schema: 'Presence' },
    examples: {
      online: { summary: 'Connected twice', answer: { user_id: 'u-7', online: true, connections: 2 } },
    },
  },
  'POST /api/v1/users/:user_id/disconnect': {
    id: 'disconnectUser',
    tag: 'Looking up',
    description:
      'WebSockets are closed with 4403, streams with an `error` event. With `issued_before` tokens that the user was given ' +
      'earlier are refused for 24 hours. At 10,000 revocations in force in the tenant one more is 429, and the connections ' +
      'are closed all the same.',
    parameters: [user],
    body: { schema: 'Disconnection', maxBytes: MAX_BODY_BYTES, optional: true },
    answer: {
      status: 200,
      description: 'How many connections were closed; 0 is fine',
      schema: 'Disconnected',
    },
    errors: ['STORE_UNAVAILABLE', 'TOO_MANY_REVOCATIONS'],
    examples: {
      plain: { summary: 'Without a reason', answer: { user_id: 'u-7', disconnected: 2 } },
      revoked: {
        summary: 'With the tokens of the time before',
        body: { reason: 'signed out everywhere', issued_before: '2026-01-02T03:04:05Z' },
        answer: { user_id: 'u-7', disconnected: 2 },
      },
    },
  },
  'GET /api/v1/channels': {
    id: 'listChannels',
    tag: 'Looking up',
    parameters: [
      {
        name: 'after',
        in: 'query',
        description: 'The name of a channel: those behind it are listed',
        schema: { type: 'string' },
        example: '',
      },
      limitOf(MAX_LISTED),
    ],
    answer: { status: 200, description: 'Channels with a subscriber, by name', schema: 'Channels' },
    examples: {
      two: {
        summary: 'Two channels',
        answer: {
          channels: [
            { name: 'orders', subscriber_count: 2 },
            { name: 'system', subscriber_count: 1 },
          ],
          total_channels: 2,
        },
      },
    },
  },
  'GET /api/v1/channels/:name': {
    id: 'getChannel',
    tag: 'Looking up',
    parameters: [segmentOf('name', 'A channel', 'orders', NAME_RULES.channel)],
    answer: { status: 200, description: 'Connections are counted, not users', schema: 'Channel' },
    errors: ['CHANNEL_NOT_FOUND'],
    examples: { channel: { summary: 'Two subscribers', answer: { name: 'orders', subscriber_count: 2 } } },
  },
  'GET /api/v1/tenants': {
    id: 'listTenants',
    tag: 'Looking up',
    description: 'A key that is bound to a tenant sees that one only.',
    answer: {
      status: 200,
      description: 'Those with a connection, or in which something has happened, by id',
      schema: 'Tenants',
    },
    examples: {
      one: {
        summary: 'One tenant',
        answer: { enabled: true, tenants: [{ tenant_id: 'default', stats: tenantStats }], total: 1 },
      },
    },
  },
  'GET /api/v1/tenants/:tenant_id': {
    id: 'getTenant',
    tag: 'Looking up',
    parameters: [segmentOf('tenant_id', 'A tenant', 'default', NAME_RULES.tenant)],
    answer: { status: 200, description: 'The tenant', schema: 'Tenant' },
    errors: ['TENANT_NOT_FOUND'],
    examples: {
      tenant: {
        summary: 'With a user who is connected twice',
        answer: {
          tenant_id: 'default',
          stats: tenantStats,
          connection_stats: { total_connections: 2, unique_users: 1 },
        },
      },
    },
  },
}
