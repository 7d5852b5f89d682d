/** A server-sent event that carries one message. */
interface StreamEvent {
  /** The `type` of the message. */
  readonly event: string
  /** The message as one line of JSON. */
  readonly data: string
  /** The cursor of a notification; a browser returns it as `Last-Event-ID`. */
  readonly id?: string
  /** Milliseconds after which a browser reconnects. */
  readonly retryMs?: number
}

/** The event as it is written to the stream. JSON without line breaks cannot end it early. */
export const formatEvent = ({ event, data, id, retryMs }: StreamEvent): string =>
  `${id === undefined ? '' : `id: ${id}\n`}${retryMs === undefined ? '' : `retry: ${retryMs}\n`}event: ${event}\ndata: ${data}\n\n`

/**
 * Fills a quiet stream; clients ignore comments. It ends with one line end: after two,
 * `@microsoft/fetch-event-source` reports an event without data.
 */
export const COMMENT = ': heartbeat\n'
