/** Why the server closes a connection: the WebSocket close code and reason. */
export const CLOSES = {
  goingAway: { code: 1001, reason: 'server stopped' },
  abuse: { code: 1008, reason: 'too many bad messages' },
  messageRate: { code: 1008, reason: 'too many messages' },
  serviceRestart: { code: 1012, reason: 'server is draining' },
  connectionLimit: { code: 1013, reason: 'connection limit' },
  tokenExpired: { code: 4401, reason: 'token expired' },
  otherUser: { code: 4401, reason: 'token of another user' },
  disconnected: { code: 4403, reason: 'disconnected by the backend' },
  silent: { code: 4408, reason: 'silent' },
} as const satisfies Record<string, { readonly code: number; readonly reason: string }>

export type CloseReason = keyof typeof CLOSES
