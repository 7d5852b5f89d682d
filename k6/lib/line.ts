import { WebSocket } from 'k6/websockets'

export interface Message {
  readonly type: unknown
  readonly [key: string]: unknown
}

/** One WebSocket, from the request to its end. */
export interface Line {
  /** Does nothing on one that is not open. */
  send(message: object): void
  close(): void
}

interface LineEvents {
  /** The 101: nothing says yet that the service knows the connection. */
  opened(): void
  message(message: Message): void
  /** Refused, closed or lost; once, and nothing after it. */
  ended(): void
}

/** Throws for anything but a JSON object, which ends the virtual user with its books open. */
function messageOf(text: unknown): Message {
  const message: unknown = JSON.parse(String(text))
  if (typeof message !== 'object' || message === null || !('type' in message))
    throw new Error('the service sent a frame that is no message')
  return { ...message }
}

/** `name` stands for the URL in k6's own metrics: the URL holds the token. */
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
  // Of errors nothing more is said: each is followed by the close, that of a refused request too.
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
      // While it connects, k6 has nobody to take a close: it would block for ever.
      if (open && !over) socket.close()
    },
  }
}
