/** Codes of an `error` message on a WebSocket. */
export const SOCKET_ERROR_CODES = [
  'INVALID_MESSAGE',
  'UNSUPPORTED_FORMAT',
  'SUBSCRIPTION_ERROR',
  'INVALID_ACK',
  'RATE_LIMITED',
  'UNAUTHORIZED',
  'FORBIDDEN',
  'CONNECTION_LIMIT',
] as const

/** Codes of an `error` event on a stream: the reason why the stream ends. */
export const STREAM_ERROR_CODES = ['UNAUTHORIZED', 'FORBIDDEN'] as const

export type SocketErrorCode = (typeof SOCKET_ERROR_CODES)[number]
