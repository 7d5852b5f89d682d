/** Fields of a server-sent event beside `event` and `data`. */
export interface StreamFields {
  /** The cursor of a notification; a browser returns it as `Last-Event-ID`. */
  readonly id?: string
  /** Milliseconds after which a browser reconnects. */
  readonly retryMs?: number
}

/**
 * A server-sent event that carries one message: `event` is its `type`, `data` its JSON. JSON without line breaks
 * cannot end the event early.
 */
export function formatEvent(event: string, data: string, { id, retryMs }: StreamFields): string {
  const before = `${id === undefined ? '' : `id: ${id}\n`}${retryMs === undefined ? '' : `retry: ${retryMs}\n`}`
  return `${before}event: ${event}\ndata: ${data}\n\n`
}

/**
 * Fills a quiet stream; clients ignore comments. It ends with one line end: after two,
 * `@microsoft/fetch-event-source` reports an event without data.
 */
export const COMMENT = ': heartbeat\n'
