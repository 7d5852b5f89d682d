import { type Topic, tenantOf, userOf } from '../../notification/topic.ts'

// The name comes last and nothing follows it: no two different names make one key, whatever they hold. What belongs together
// carries the same hash tag.
const key = (kind: string, name: string): string => `ara:${kind}:{${name}}`

const LOG_KINDS = ['head', 'text', 'notes', 'order', 'ends', 'lanes', 'past']

const tagOf = (owner: Topic): string => `${tenantOf(owner)}:${userOf(owner)}`

/** Of a user's log, in the order in which its scripts want them. */
export const logKeys = (owner: Topic): readonly string[] => LOG_KINDS.map(kind => key(kind, tagOf(owner)))

/** Whom a notification was for. */
export const recipientsKey = (tenant: string, id: string): string => key('recipients', `${tenant}:${id}`)
/** The body of a notification that is kept once for many users. */
export const bodyKey = (tenant: string, id: string): string => key('body', `${tenant}:${id}`)
export const revokedKey = (owner: Topic): string => key('revoked', tagOf(owner))
/** Users of a tenant whose tokens are revoked, by when that ends. */
export const revocationsKey = (tenant: string): string => key('revocations', tenant)
export const onceKey = (tenant: string, name: string): string => key('once', `${tenant}:${name}`)
export const templatesKey = (tenant: string): string => key('templates', tenant)

/** The name of this Redis' life, and what it is anchored to. */
export const LIFE_KEY = 'ara:life'
/** Users by when their log has something to let go of. */
export const DUE_KEY = 'ara:due'
/** Users whose log a node is cleaning, by when another one may. In the slot of `DUE_KEY`. */
export const LEASED_KEY = 'ara:leased:{ara:due}'
/** How much each log takes, and all of them. */
export const SIZES_KEY = 'ara:sizes'
