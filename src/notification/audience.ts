import type { Principal } from './principal.ts'
import { channelTopic, type Topic } from './topic.ts'

/** Selects receivers of a broadcast. */
export type Audience =
  | { readonly type: 'All' }
  | { readonly type: 'Roles'; readonly value: readonly string[] }
  | { readonly type: 'Users'; readonly value: readonly string[] }
  | { readonly type: 'Channels'; readonly value: readonly string[] }

/** Decides for one connection; `isIn` tells whether it is in a topic. */
export type Accept = (principal: Principal, isIn: (topic: Topic) => boolean) => boolean

/** Returns undefined when the audience includes all. */
export function acceptOf(audience: Audience | undefined, tenant: string): Accept | undefined {
  if (audience === undefined) return undefined
  switch (audience.type) {
    case 'All':
      return undefined
    case 'Roles': {
      const roles = new Set(audience.value)
      return principal => principal.roles.some(role => roles.has(role))
    }
    case 'Users': {
      const users = new Set(audience.value)
      return principal => users.has(principal.user)
    }
    case 'Channels': {
      const topics = audience.value.map(channel => channelTopic(tenant, channel))
      return (_, isIn) => topics.some(isIn)
    }
  }
}
