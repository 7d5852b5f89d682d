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
  /** Monotonic milliseconds; absent: when it is dispatched. */
  readonly acceptedAt?: number
  /** Of what brought it in, when that is traced. */
  readonly span?: Span | undefined
}

/** How many users a target names; crowds name none. */
export const recipientsOf = (target: Target): number =>
  target.type === 'users' ? target.users.length : target.type === 'user' ? 1 : 0

/** Users one by one, each with a log; or a crowd: the connections of the topics at dispatch. */
export type Route =
  | { readonly users: readonly string[] }
  | { readonly topics: readonly Topic[]; readonly audience?: Audience | undefined }

/** Names given twice count once. */
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
