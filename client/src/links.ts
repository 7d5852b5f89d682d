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

const OPEN = 1

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Reads server-sent events until the stream ends. The data of each is one line of JSON. */
async function readEvents(body: ReadableStream<Uint8Array>, onData: (data: string) => void): Promise<void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (text + decoder.decode(value, { stream: true })).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const [, data] = line.split(/^data:/)
      if (data) onData(data)
    }
  }
}

/** Reads why the service refuses, and which channels, in `"details":[{"path":"channels[1]",…}]`. */
async function refusalOf(response: Response, channels: readonly string[]): Promise<Ending> {
  const { status, headers } = response
  const text = await response.text()
  return {
    status,
    retryAfterMs: Number(headers.get('retry-after')) * 1000 || 0,
    refused: channels.filter((_, n) => text.includes(`"channels[${n}]"`)),
  }
}

/** Acknowledges notifications. The request outlives its page. */
export async function postAcks(
  { fetch }: Pick<Runtime, 'fetch'>,
  url: string,
  token: string,
  ids: readonly string[],
): Promise<string> {
  const response = await fetch(`${url}/api/v1/me/acks`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ notification_ids: ids }),
    keepalive: true,
  })
  return response.text()
}

/** Opens a WebSocket, or a stream by fetch, which can carry the token in a header, unlike an EventSource. */
export function openLink(
  { WebSocket, fetch }: Pick<Runtime, 'WebSocket' | 'fetch'>,
  transport: Transport,
  /** Address of the service, without a slash at its end. */
  url: string,
  token: string,
  cursor: string,
  channels: readonly string[],
  onMessage: (message: ServerMessage) => void,
  onEnd: (ending: Ending) => unknown,
): Link {
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
  const request = async (path: string, status?: number) => {
    let ending: Ending = { status }
    try {
      const response = await fetch(url + path, { headers: bearer(token), signal })
      if (response.ok && response.body) await readEvents(response.body, receive)
      else ending = await refusalOf(response, channels)
    } catch {
      // No answer, or the stream broke.
    }
    end(ending)
  }

  const openSocket = (Standard: NonNullable<Runtime['WebSocket']>) => {
    // The token travels as a subprotocol, so that no proxy logs it.
    socket = new Standard(url.replace('http', 'ws') + '/ws?' + query, ['bearer', token])
    // A browser hides why an upgrade was refused; the answer to a plain request tells.
    socket.onclose = ({ code }) => void request('/ws', code)
    socket.onopen = () => {
      if (socket) socket.onclose = ({ code }) => end({ status: code })
    }
    socket.onmessage = ({ data }) => receive(data)
    // The package `ws` ends the process without a listener; `onclose` follows.
    socket.onerror = () => {}
  }

  if (transport === 'websocket' && WebSocket) openSocket(WebSocket)
  else {
    // Between commas neither a comma nor nothing is a name. The service refuses a space, too.
    query.set('channels', channels.map(name => name.replace(/^$|,/g, ' ')).join())
    void request(`/sse?${query}`)
  }
  return {
    send: message => {
      if (socket?.readyState !== OPEN) return false
      socket.send(JSON.stringify(message))
      return true
    },
    drop: () => {
      abort.abort()
      socket?.close()
    },
  }
}
