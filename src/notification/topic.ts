declare const brand: unique symbol

/** The name of everyone who is reached together: the connections of a user, of a tenant, of a channel. */
export type Topic = string & { readonly [brand]: true }

// A tenant holds no colon, so no two different topics share a name.
export const userTopic = (tenant: string, user: string): Topic => `user:${tenant}:${user}` as Topic
export const tenantTopic = (tenant: string): Topic => `tenant:${tenant}` as Topic
export const channelTopic = (tenant: string, channel: string): Topic =>
  `channel:${tenant}:${channel}` as Topic

/** The channel of that tenant that a topic stands for; undefined for every other topic. */
export function channelOf(topic: Topic, tenant: string): string | undefined {
  const before = channelTopic(tenant, '')
  return topic.startsWith(before) ? topic.slice(before.length) : undefined
}

/** The tenant of any topic. */
export function tenantOf(topic: Topic): string {
  const start = topic.indexOf(':') + 1
  const end = topic.indexOf(':', start)
  return topic.slice(start, end < 0 ? undefined : end)
}

/** The user that a user's topic stands for. */
export const userOf = (topic: Topic): string => topic.slice(topic.indexOf(':', 'user:'.length) + 1)

export type TopicKind = 'user' | 'tenant' | 'channel'

/** What a topic stands for. */
export const kindOf = (topic: Topic): TopicKind =>
  topic.startsWith('user:') ? 'user' : topic.startsWith('tenant:') ? 'tenant' : 'channel'
