import type { Topic } from '../notification/topic.ts'

/** Revoked tokens, per user. All times are in milliseconds since 1970. */
export interface Revocations {
  /**
   * Revokes, until `until`, the user's tokens that were issued before `before`. When two revocations overlap, the later
   * times apply. Resolves when the revocation would survive what the store promises to survive. `full`: `maxRevocations`
   * other users of the tenant have a revocation in force; nothing is recorded.
   */
  revoke(owner: Topic, before: number, until: number): Promise<'revoked' | 'full'>
  /**
   * Tokens issued before this time are revoked; undefined when none is. Returns a plain value, not a promise, when the
   * answer is in memory.
   */
  before(owner: Topic): number | undefined | Promise<number | undefined>
}
