import type { Priority } from '../protocol/values.ts'
import type { Audience } from './audience.ts'

export interface Notification {
  /** UUID v4, lower case. */
  readonly id: string
  /** When the service accepted it, milliseconds since 1970. */
  readonly occurredAt: number
  readonly eventType: string
  /** The caller's JSON text, never parsed again: digits and key order reach the client as written. */
  readonly payload: string
  readonly source: string
  readonly priority: Priority
  /** Seconds; 0 means only those who are live now. */
  readonly ttl?: number
  readonly audience?: Audience
  readonly correlationId?: string
}

/** The moment after which it must not be delivered, milliseconds since 1970; none without a ttl. A ttl of 0 never expires: it is never kept. */
export const expiryOf = ({ ttl, occurredAt }: Notification): number | undefined =>
  ttl === undefined || ttl === 0 ? undefined : occurredAt + ttl * 1000

export function isExpired(notification: Notification, now: number): boolean {
  const expiry = expiryOf(notification)
  return expiry !== undefined && now > expiry
}
