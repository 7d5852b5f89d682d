import { WebSocket } from 'k6/websockets'

export interface Message {
  readonly type: unknown
  readonly [key: string]: unknown
}

/** WebSocket, from the request to its end. */
export interface Line {
  /** Sends a message; does nothing if it is not open. */
  send(message: object): void
  close(): void
}

interface LineEvents {
  /** Called at the 101, before the service has confirmed the connection. */
  opened(): void
  message(message: Message): void
  /** Called once when the connection is rejected, closed or lost; the last call. */
  ended(): void
}

/** Parses a JSON object; otherwise throws, which ends the virtual user with an open ledger. */
function messageOf(text: unknown): Message {
  const message: unknown = JSON.parse(String(text))
  if (typeof message !== 'object' || message === null || !('type' in message))
    throw new Error('the service sent a frame that is no message')
  return { ...message }
}

/** Opens a WebSocket; `name` replaces the URL, which holds the token, in k6's metrics. */
export function openLine(url: string, name: string, { opened, message, ended }: LineEvents): Line {
  const socket = new WebSocket(url, null, { tags: { name } })
  let open = false
  let closing = false
  let over = false

  socket.onopen = () => {
    open = true
    if (closing) socket.close()
    else opened()
  }
  socket.onmessage = event => {
    if (!over) message(messageOf(event?.data))
  }
  // Ignore errors: a close follows each of them, even for a rejected request.
  socket.onclose = () => {
    if (over) return
    over = true
    ended()
  }

  return {
    send: text => {
      if (open && !closing && !over) socket.send(JSON.stringify(text))
    },
    close: () => {
      closing = true
      // While connecting, k6 has no reader for a close and would block for ever.
      if (open && !over) socket.close()
    },
  }
}
