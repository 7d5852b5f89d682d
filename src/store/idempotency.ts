/** A request with a key that its caller chose. It is carried out once, however often it arrives. */
export interface Claim {
  readonly tenant: string
  /** Chosen by the caller: 1–255 visible ASCII characters. */
  readonly key: string
  /** Fingerprint of endpoint and body. The same key with another fingerprint is a different request. */
  readonly fingerprint: string
  /** UUID v4 to carry the request out with, unless an earlier attempt already has one. */
  readonly id: string
}

export type Reservation =
  /** Carry the request out now, with this id: the claim's own, or that of an earlier attempt with an unknown outcome. */
  | { readonly type: 'reserved'; readonly id: string }
  /** The request was carried out before. Reply with the same answer. */
  | { readonly type: 'answered'; readonly answer: string }
  /** An identical request was reserved at most `RESERVED_MS` ago. It is not answered yet, here or on another node. */
  | { readonly type: 'in_progress'; readonly id: string }
  /** The key belongs to a different request. */
  | { readonly type: 'conflict' }

/** A request that ends without an answer blocks its key no longer than this, milliseconds. */
export const RESERVED_MS = 30_000

/**
 * Idempotency keys and the answers to their requests.
 *
 * A key stays in use for `idempotencyTtlMs` after its first use. `answer` and `release` are batched and not awaited. A
 * later `reserve` through the same store MUST see them. Both apply only to the reservation with that tenant, key and id.
 * They do nothing after that reservation has ended.
 */
export interface Idempotency {
  /**
   * Reserves the key in one atomic step: of two simultaneous calls, one gets `reserved`.
   *
   * Resolves when the reservation would survive what the store promises to survive. Rejects, within a second, when the
   * store is away or does not answer. Whether the key was reserved is then unknown. A reservation without an answer after
   * `RESERVED_MS` passes to the next request. The same request gets the earlier id; a different request finds the key
   * unused.
   */
  reserve(claim: Claim): Promise<Reservation>
  /**
   * Stores the answer that every repeat gets from now on, unless there is one already. `claim` carries the id under which
   * it was reserved. If the answer is lost, a repeat is carried out again with the same id.
   */
  answer(claim: Claim, answer: string): void
  /**
   * Ends a reservation without an answer; an answer already stored stays. `claim` carries the id under which it was
   * reserved.
   * - `free`: the request had no effect. The key becomes unused.
   * - `retry`: the outcome is unknown. The same request may retry at once with the same id; a different request finds the
   * key unused.
   */
  release(claim: Claim, how: 'free' | 'retry'): void
}
