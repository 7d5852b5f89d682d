import { formatEvent } from '../protocol/stream-event.ts'
import { type Cursor, formatCursor } from './cursor.ts'
import type { Notification } from './notification.ts'

interface SseFields {
  /** What `Last-Event-ID` will say. */
  readonly id?: string
  /** When to come back after the stream has ended. */
  readonly retryMs?: number
}

/** One message to a client, encoded once however many connections it goes to. */
export class Frame {
  /** The event name on SSE. */
  readonly event: string
  /** The whole WebSocket text; one line of JSON. */
  readonly json: string
  readonly #fields: SseFields
  #sse: string | undefined

  constructor(event: string, json: string, fields: SseFields = {}) {
    this.event = event
    this.json = json
    this.#fields = fields
  }

  /** The same as an SSE event, made when a stream first asks for it. The JSON holds no line break, so it cannot end early. */
  get sse(): string {
    this.#sse ??= formatEvent({ event: this.event, data: this.json, ...this.#fields })
    return this.#sse
  }
}

/** The notification as JSON without its closing brace, so that what differs by user can follow. Keys in the order of docs/API.md. */
export function encode(notification: Notification): string {
  const { id, occurredAt, eventType, payload, source, priority, ttl, audience, correlationId } = notification
  let metadata = `"source":${JSON.stringify(source)},"priority":"${priority}"`
  if (ttl !== undefined) metadata += `,"ttl":${ttl}`
  if (audience !== undefined) metadata += `,"audience":${JSON.stringify(audience)}`
  if (correlationId !== undefined) metadata += `,"correlation_id":${JSON.stringify(correlationId)}`
  return (
    `{"type":"notification","id":"${id}","occurred_at":"${new Date(occurredAt).toISOString()}",` +
    `"event_type":${JSON.stringify(eventType)},"payload":${payload},"metadata":{${metadata}}`
  )
}

/** A notification outside any log. */
export const crowdFrame = (body: string): Frame => new Frame('notification', `${body}}`)

/** A notification at its place in the receiving user's log. */
export function userFrame(body: string, cursor: Cursor): Frame {
  const place = formatCursor(cursor)
  return new Frame('notification', `${body},"cursor":"${place}"}`, { id: place })
}

/** The same again, since it was not acknowledged; `redelivered` counts from 1. */
export function redeliveredFrame(body: string, cursor: Cursor, redelivered: number): Frame {
  const place = formatCursor(cursor)
  return new Frame('notification', `${body},"cursor":"${place}","redelivered":${redelivered}}`, { id: place })
}
