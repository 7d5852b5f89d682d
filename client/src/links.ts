import type { ClientMessage } from '../../src/protocol/client-messages.ts'
import type { ServerMessage } from '../../src/protocol/server-messages.ts'
import type { Ending, Transport } from './connection-state.ts'
import type { Runtime } from './runtime.ts'
import type { Socket } from './types.ts'

/** An open or opening connection. After `drop` it reports nothing. */
export interface Link {
  /** False when it cannot send: a stream never can. */
  send(message: ClientMessage): boolean
  drop(): void
}

export interface LinkOptions extends Pick<Runtime, 'WebSocket' | 'fetch'> {
  readonly transport: Transport
  /** Address of the service, without a slash at its end. */
  readonly url: string
  readonly token: string
  readonly cursor: string
  readonly channels: readonly string[]
  readonly onMessage: (message: ServerMessage) => void
  readonly onEnd: (ending: Ending) => void
}

const OPEN = 1

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Reads server-sent events whose data is one line, until the stream ends. */
async function readEvents(body: ReadableStream<Uint8Array>, onData: (data: string) => void): Promise<void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const events = (text + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/)
    text = events.pop() ?? ''
    for (const event of events) {
      const [, data] = /^data:(.*)/m.exec(event) ?? []
      if (data) onData(data)
    }
  }
}

/** Opens a WebSocket, or a stream by fetch, which can carry the token in a header, unlike an EventSource. */
export function openLink({
  transport,
  url,
  token,
  cursor,
  channels,
  WebSocket,
  fetch,
  onMessage,
  onEnd,
}: LinkOptions): Link {
  const abort = new AbortController()
  const { signal } = abort
  const query = new URLSearchParams({ cursor })
  let socket: Socket | undefined

  const receive = (text: string) => {
    if (!signal.aborted) onMessage(JSON.parse(text))
  }

  const end = (ending: Ending) => {
    if (!signal.aborted) onEnd(ending)
  }

  /** Reads what the service answers to a plain request: events, or why it refuses. */
  const request = async (path: string, code?: number) => {
    let ending: Ending = { code }
    try {
      const { ok, status, headers, body } = await fetch(url + path, { headers: bearer(token), signal })
      if (!ok) ending = { status, retryAfterMs: Number(headers.get('retry-after')) * 1000 || 0 }
      else if (body) await readEvents(body, receive)
    } catch {
      // No answer, or the stream broke.
    }
    end(ending)
  }

  const openSocket = (Standard: NonNullable<Runtime['WebSocket']>) => {
    let wasOpen = false
    // The token travels as a subprotocol, so that no proxy logs it.
    socket = new Standard(`${url.replace('http', 'ws')}/ws?${query}`, ['bearer', token])
    socket.onopen = () => {
      wasOpen = true
    }
    socket.onmessage = ({ data }) => receive(data)
    // A browser hides why an upgrade was refused; the answer to a plain request tells.
    socket.onclose = ({ code }) => (wasOpen ? end({ code }) : void request('/ws', code))
  }

  if (transport === 'websocket' && WebSocket) openSocket(WebSocket)
  else {
    // A service that does not know the parameter ignores it.
    if (channels.length > 0) query.set('channels', channels.join())
    void request(`/sse?${query}`)
  }
  return {
    send: message => {
      const isOpen = socket?.readyState === OPEN
      if (isOpen) socket?.send(JSON.stringify(message))
      return isOpen
    },
    drop: () => {
      abort.abort()
      socket?.close()
    },
  }
}
