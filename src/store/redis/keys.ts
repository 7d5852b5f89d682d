import type { Topic } from '../../notification/topic.ts'

// The name ends the key, so two different names never make the same key. Keys that belong together share a hash tag.
const key = (kind: string, name: string): string => `ara:${kind}:{${name}}`

const LOG_KINDS = ['head', 'text', 'notes', 'order', 'ends', 'lanes', 'past']

/** Tenant and user, with a colon between them. */
const tagOf = (owner: Topic): string => owner.slice('user:'.length)

/** Keys of a user's log, in the order that its scripts expect. */
export const logKeys = (owner: Topic): readonly string[] => {
  const tag = tagOf(owner)
  return LOG_KINDS.map(kind => key(kind, tag))
}

/** Recipients of a notification. */
export const recipientsKey = (tenant: string, id: string): string => key('recipients', `${tenant}:${id}`)
/** The body of a notification, stored once for many users. */
export const bodyKey = (tenant: string, id: string): string => key('body', `${tenant}:${id}`)
export const revokedKey = (owner: Topic): string => key('revoked', tagOf(owner))
/** Users of a tenant with a revocation, scored by its end. */
export const revocationsKey = (tenant: string): string => key('revocations', tenant)
export const onceKey = (tenant: string, name: string): string => key('once', `${tenant}:${name}`)
export const templatesKey = (tenant: string): string => key('templates', tenant)

/** Name of the current life of this Redis, and its anchor. */
export const LIFE_KEY = 'ara:life'
/** Users, scored by when their log next has something to remove. */
export const DUE_KEY = 'ara:due'
/** Users whose log a node is cleaning, scored by when the lease ends. In the slot of `DUE_KEY`. */
export const LEASED_KEY = 'ara:leased:{ara:due}'
/** Users with a log without entries, scored by its last append. Written with a limit on stored bytes. */
export const IDLE_KEY = 'ara:idle'
/** `IDLE_KEY` of one tenant. */
export const idleKey = (tenant: string): string => key('idle', tenant)
/** Size of each log, and the sums. */
export const SIZES_KEY = 'ara:sizes'
