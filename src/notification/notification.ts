import type { Clock } from '../lib/time/clock.ts'
import type { Priority } from '../protocol/values.ts'
import type { Audience } from './audience.ts'

export interface Notification {
  /** UUID v4, lower case. */
  readonly id: string
  /** Time of acceptance, milliseconds since 1970. */
  readonly occurredAt: number
  readonly eventType: string
  /** The caller's JSON text, kept as written: digits and key order reach the client. */
  readonly payload: string
  readonly source: string
  readonly priority: Priority
  /** Seconds; 0: only for live connections. */
  readonly ttl?: number
  readonly audience?: Audience
  readonly correlationId?: string
}

/** Last moment of delivery, milliseconds since 1970; undefined without a ttl. A ttl of 0 is never kept, so never expires. */
export const expiryOf = ({ ttl, occurredAt }: Notification): number | undefined =>
  ttl === undefined || ttl === 0 ? undefined : occurredAt + ttl * 1000

/** Reads the clock only for a notification that can expire. */
export function isExpired(notification: Notification, clock: Pick<Clock, 'now'>): boolean {
  const expiry = expiryOf(notification)
  return expiry !== undefined && clock.now() > expiry
}
