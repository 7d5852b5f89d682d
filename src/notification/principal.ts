/** The identity in a client's token. */
export interface Principal {
  /** 1–256 bytes, no control characters. */
  readonly user: string
  readonly tenant: string
  readonly roles: readonly string[]
  /** Patterns of the channels that the token allows; absent without a claim about channels. */
  readonly channels?: readonly string[]
  /** End of the token without leeway, milliseconds since 1970. */
  readonly expiresAt: number
  /** Issue time of the token, seconds since 1970. */
  readonly issuedAt?: number
}
