/** Who a client is, as its token says. */
export interface Principal {
  /** 1–256 bytes, no control characters. */
  readonly user: string
  readonly tenant: string
  readonly roles: readonly string[]
  /** Patterns of the channels the token allows; absent when it says nothing of channels. */
  readonly channels?: readonly string[]
  /** End of the token without leeway, milliseconds since 1970. */
  readonly expiresAt: number
  /** When the token was made, seconds since 1970. */
  readonly issuedAt?: number
}
