declare const brand: unique symbol

/** The name of everyone who is reached together: the connections of a user, of a tenant, of a channel. */
export type Topic = string & { readonly [brand]: true }

// A tenant holds no colon, so no two different topics share a name.
export const userTopic = (tenant: string, user: string): Topic => `user:${tenant}:${user}` as Topic
export const tenantTopic = (tenant: string): Topic => `tenant:${tenant}` as Topic
export const channelTopic = (tenant: string, channel: string): Topic =>
  `channel:${tenant}:${channel}` as Topic

export type TopicKind = 'user' | 'tenant' | 'channel'

/** What a topic stands for. */
export const kindOf = (topic: Topic): TopicKind =>
  topic.startsWith('user:') ? 'user' : topic.startsWith('tenant:') ? 'tenant' : 'channel'
