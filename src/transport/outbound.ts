import type { ErrorCode } from '../errors.ts'
import { type Cursor, formatCursor } from '../notification/cursor.ts'
import { Frame } from '../notification/frame.ts'

/** What the service says to clients beside notifications. */
const frame = (type: string, rest: object = {}, retryMs?: number): Frame =>
  new Frame(type, JSON.stringify({ type, ...rest }), retryMs === undefined ? {} : { retryMs })

export const HEARTBEAT = frame('heartbeat')
export const PONG = frame('pong')
export const subscribed = (channels: readonly string[]): Frame => frame('subscribed', { payload: channels })
export const unsubscribed = (channels: readonly string[]): Frame =>
  frame('unsubscribed', { payload: channels })
export const errorFrame = (code: ErrorCode, message: string): Frame => frame('error', { code, message })
/** `late`: it had been given up before. */
export const ackedId = (id: string, late: boolean): Frame =>
  frame('acked', { notification_id: id, ...(late && { late }) })
export const ackedThrough = (cursor: string): Frame => frame('acked', { cursor })
export const authenticated = (expiresIn: number): Frame => frame('authenticated', { expires_in: expiresIn })
export const tokenExpiring = (seconds: number): Frame => frame('token_expiring', { in: seconds })
export const shutdown = (seconds: number): Frame =>
  frame('shutdown', { reason: 'server is draining', reconnect_after_seconds: seconds }, seconds * 1000)

interface Greeting {
  readonly connectionId: string
  readonly userId: string
  /** Undefined when the log is off. */
  readonly cursor: Cursor | undefined
  readonly recovered: boolean
  readonly reason?: string | undefined
  readonly replayed: number
  readonly expiresIn: number
  readonly heartbeatSeconds: number
}

export const connected = ({
  connectionId,
  userId,
  cursor,
  recovered,
  reason,
  replayed,
  expiresIn,
  heartbeatSeconds,
}: Greeting): Frame =>
  frame('connected', {
    connection_id: connectionId,
    user_id: userId,
    cursor: cursor === undefined ? null : formatCursor(cursor),
    recovered,
    reason,
    replayed,
    expires_in: expiresIn,
    heartbeat_seconds: heartbeatSeconds,
  })
