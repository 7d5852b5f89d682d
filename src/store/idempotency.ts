/** A request that a caller has named, so that it is carried out once however often it comes. */
export interface Claim {
  readonly tenant: string
  /** 1–255 visible ASCII characters, the caller's. */
  readonly key: string
  /** Of endpoint and body: under one key another fingerprint is another request. */
  readonly fingerprint: string
  /** UUID v4 under which it will be carried out, unless an earlier try has one. */
  readonly id: string
}

export type Reservation =
  /** To be carried out now, under this id: the claim's, or that of an earlier try whose outcome nobody knows. */
  | { readonly type: 'reserved'; readonly id: string }
  /** Carried out before; to be answered the same. */
  | { readonly type: 'answered'; readonly answer: string }
  /** The same request was reserved at most `RESERVED_MS` ago and has not been answered, here or on another node. */
  | { readonly type: 'in_progress'; readonly id: string }
  /** The key belongs to another request. */
  | { readonly type: 'conflict' }

/** A request that died unanswered blocks its key no longer than this, milliseconds. */
export const RESERVED_MS = 30_000

/**
 * Which keys were used for what, and how that was answered; from first use for `idempotencyTtlMs`, whatever happens to the
 * key in between. `answer` and `release` are batched and never awaited, but a later `reserve` through the same store finds
 * them done. They concern the reservation of that tenant, key and id alone: when it is gone, or has become another
 * request's, they do nothing.
 */
export interface Idempotency {
  /**
   * One step: of two at the same time one is `reserved`. Resolves when it would survive what the store promises to survive;
   * rejects within a second of a store that is away, or does not answer: then nobody knows whether it was reserved.
   * A reservation that was not answered within `RESERVED_MS` goes to the next: to the same request with the id it had, to
   * another one as if the key were new.
   */
  reserve(claim: Claim): Promise<Reservation>
  /**
   * The answer every repeat gets from now on, unless there is one already; the claim with the id it was reserved under. When
   * it is lost, a repeat is carried out again under the same id.
   */
  answer(claim: Claim, answer: string): void
  /**
   * It will not be answered. `free`: it has had no effect, and the key is as if never used. `retry`: nobody knows what it
   * did; the same request may try again at once, under the same id, and another one as if the key were new. The claim
   * with the id it was reserved under. What has been answered stays.
   */
  release(claim: Claim, how: 'free' | 'retry'): void
}
