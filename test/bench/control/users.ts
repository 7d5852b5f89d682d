/** Sockets by user. */
import type { ServerWebSocket, WebSocketHandler } from 'bun'

const sockets = new Map<string, Set<ServerWebSocket<string>>>()

/** Maintains the map. */
export const websocket: WebSocketHandler<string> = {
  open(socket) {
    const own = sockets.get(socket.data)
    if (own === undefined) sockets.set(socket.data, new Set([socket]))
    else own.add(socket)
  },
  message() {},
  close(socket) {
    const own = sockets.get(socket.data)
    own?.delete(socket)
    if (own?.size === 0) sockets.delete(socket.data)
  },
}

/** Returns the number of sockets written to. */
export function sendTo(user: string, text: string): number {
  const own = sockets.get(user)
  if (own === undefined) return 0
  for (const socket of own) socket.send(text)
  return own.size
}

export const everyone = (): readonly string[] => [...sockets.keys()]
