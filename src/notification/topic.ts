declare const brand: unique symbol

/** Names a set of connections: those of a user, a tenant or a channel. */
export type Topic = string & { readonly [brand]: true }

// Tenants contain no colon, so two topics never share a name.
export const userTopic = (tenant: string, user: string): Topic => `user:${tenant}:${user}` as Topic
export const tenantTopic = (tenant: string): Topic => `tenant:${tenant}` as Topic
export const channelTopic = (tenant: string, channel: string): Topic =>
  `channel:${tenant}:${channel}` as Topic

/** The tenant's channel behind a topic; undefined for any other topic. */
export function channelOf(topic: Topic, tenant: string): string | undefined {
  const before = channelTopic(tenant, '')
  return topic.startsWith(before) ? topic.slice(before.length) : undefined
}

let lastTenant = ''

/** Remembers the last tenant: most topics that follow each other share one, and a copy would be hashed for each look-up. */
export function tenantOf(topic: Topic): string {
  const start = topic.indexOf(':') + 1
  const end = topic.indexOf(':', start)
  const length = (end < 0 ? topic.length : end) - start
  if (length !== lastTenant.length || !topic.startsWith(lastTenant, start))
    lastTenant = topic.slice(start, start + length)
  return lastTenant
}

/** The user behind a user's topic. */
export const userOf = (topic: Topic): string => topic.slice(topic.indexOf(':', 'user:'.length) + 1)

export type TopicKind = 'user' | 'tenant' | 'channel'

/** The kinds differ in their first character. */
export const kindOf = (topic: Topic): TopicKind =>
  topic[0] === 'u' ? 'user' : topic[0] === 't' ? 'tenant' : 'channel'
