import type { Span } from '../lib/trace-context.ts'
import type { Audience } from './audience.ts'
import type { Notification } from './notification.ts'
import { channelTopic, type Topic, tenantTopic } from './topic.ts'

export type Target =
  | { readonly type: 'user'; readonly user: string }
  | { readonly type: 'users'; readonly users: readonly string[] }
  | { readonly type: 'channel'; readonly channel: string }
  | { readonly type: 'channels'; readonly channels: readonly string[] }
  | { readonly type: 'broadcast' }

export interface Envelope {
  readonly tenant: string
  readonly target: Target
  readonly notification: Notification
  /** Monotonic milliseconds; absent: the time of the dispatch counts. */
  readonly acceptedAt?: number
  /** Span of the request or message that carried it; absent when traces are off. */
  readonly span?: Span | undefined
}

/** Number of users that a target names; 0 for a crowd. */
export const recipientsOf = (target: Target): number =>
  target.type === 'users' ? target.users.length : target.type === 'user' ? 1 : 0

/** Users, each with a log, or a crowd: the connections in the topics at dispatch. */
export type Route =
  | { readonly users: readonly string[] }
  | { readonly topics: readonly Topic[]; readonly audience?: Audience | undefined }

/** Counts repeated names once. */
export function routeOf({ tenant, target, notification }: Envelope): Route {
  switch (target.type) {
    case 'user':
      return { users: [target.user] }
    case 'users':
      return { users: [...new Set(target.users)] }
    case 'channel':
      return { topics: [channelTopic(tenant, target.channel)] }
    case 'channels':
      return { topics: [...new Set(target.channels)].map(channel => channelTopic(tenant, channel)) }
    case 'broadcast':
      return { topics: [tenantTopic(tenant)], audience: notification.audience }
  }
}
