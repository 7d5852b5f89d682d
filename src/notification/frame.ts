import { createQuote } from '../lib/json/quote.ts'
import { isoOf } from '../lib/time/iso.ts'
import { formatEvent, type StreamFields } from '../protocol/stream-event.ts'
import { type Cursor, formatCursor } from './cursor.ts'
import type { Notification } from './notification.ts'

const NO_FIELDS: StreamFields = {}
const quoteSource = createQuote()
const quoteEventType = createQuote()

/** A server-sent event and its length in bytes. */
interface StreamEvent {
  readonly text: string
  readonly bytes: number
}

/** One message to clients, encoded once for all connections. */
export class Frame {
  /** The event name on SSE. */
  readonly event: string
  /** The WebSocket text: one line of JSON. */
  readonly json: string
  readonly #fields: StreamFields
  #sse: StreamEvent | undefined

  constructor(event: string, json: string, fields = NO_FIELDS) {
    this.event = event
    this.json = json
    this.#fields = fields
  }

  /** The SSE event, encoded when the first stream needs it. */
  get sse(): StreamEvent {
    this.#sse ??= this.#encode()
    return this.#sse
  }

  #encode(): StreamEvent {
    const text = formatEvent(this.event, this.json, this.#fields)
    return { text, bytes: Buffer.byteLength(text) }
  }
}

/** The notification as JSON without its closing brace: cursor and count differ by user. Keys as in docs/API.md. */
export function encode(notification: Notification): string {
  const { id, occurredAt, eventType, payload, source, priority, ttl, audience, correlationId } = notification
  let metadata = `"source":${quoteSource(source)},"priority":"${priority}"`
  if (ttl !== undefined) metadata += `,"ttl":${ttl}`
  if (audience !== undefined) metadata += `,"audience":${JSON.stringify(audience)}`
  if (correlationId !== undefined) metadata += `,"correlation_id":${JSON.stringify(correlationId)}`
  return (
    `{"type":"notification","id":"${id}","occurred_at":"${isoOf(occurredAt)}",` +
    `"event_type":${quoteEventType(eventType)},"payload":${payload},"metadata":{${metadata}}`
  )
}

/** A notification that is in no log. */
export const crowdFrame = (body: string): Frame => new Frame('notification', `${body}}`)

/** A notification with its cursor in the user's log. */
export function userFrame(body: string, cursor: Cursor): Frame {
  const place = formatCursor(cursor)
  return new Frame('notification', `${body},"cursor":"${place}"}`, { id: place })
}

/** A notification that was not acknowledged; `redelivered` counts from 1. */
export function redeliveredFrame(body: string, cursor: Cursor, redelivered: number): Frame {
  const place = formatCursor(cursor)
  return new Frame('notification', `${body},"cursor":"${place}","redelivered":${redelivered}}`, { id: place })
}
