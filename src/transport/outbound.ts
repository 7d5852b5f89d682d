import { type Cursor, formatCursor } from '../notification/cursor.ts'
import { Frame } from '../notification/frame.ts'
import type { SocketErrorCode } from '../protocol/error-codes.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'

/** Encodes any message but a notification. */
const frame = (message: ServerMessage, retryMs?: number): Frame =>
  new Frame(message.type, JSON.stringify(message), retryMs === undefined ? {} : { retryMs })

export const HEARTBEAT = frame({ type: 'heartbeat' })
export const PONG = frame({ type: 'pong' })
export const subscribed = (channels: readonly string[]): Frame =>
  frame({ type: 'subscribed', payload: [...channels] })
export const unsubscribed = (channels: readonly string[]): Frame =>
  frame({ type: 'unsubscribed', payload: [...channels] })
export const errorFrame = (code: SocketErrorCode, message: string): Frame =>
  frame({ type: 'error', code, message })
/** The id is a UUID and needs no escape. `late`: the notification had been given up before. */
export const ackedId = (id: string, late: boolean): Frame =>
  new Frame('acked', `{"type":"acked","notification_id":"${id}"${late ? ',"late":true' : ''}}`)
export const ackedThrough = (cursor: string): Frame => frame({ type: 'acked', cursor })
export const authenticated = (expiresIn: number): Frame =>
  frame({ type: 'authenticated', expires_in: expiresIn })
export const tokenExpiring = (seconds: number): Frame => frame({ type: 'token_expiring', in: seconds })
export const shutdown = (seconds: number): Frame =>
  frame({ type: 'shutdown', reason: 'server is draining', reconnect_after_seconds: seconds }, seconds * 1000)

interface Greeting {
  readonly connectionId: string
  readonly userId: string
  /** Undefined when the log is off. */
  readonly cursor: Cursor | undefined
  readonly recovered: boolean
  readonly reason?: 'epoch_changed' | 'trimmed' | undefined
  readonly replayed: number
  /** Only on a stream. */
  readonly channels?: readonly string[] | undefined
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
  channels,
  expiresIn,
  heartbeatSeconds,
}: Greeting): Frame =>
  frame({
    type: 'connected',
    connection_id: connectionId,
    user_id: userId,
    cursor: cursor === undefined ? null : formatCursor(cursor),
    recovered,
    reason,
    replayed,
    expires_in: expiresIn,
    heartbeat_seconds: heartbeatSeconds,
    ...(channels && { channels: [...channels] }),
  })
