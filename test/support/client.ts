import { createInbox, type Inbox } from './inbox.ts'
import { told } from './told.ts'

// biome-ignore lint/suspicious/noExplicitAny: tests read any field.
export type Message = any

export interface SocketClient extends Disposable {
  readonly inbox: Inbox<Message>
  /** Resolves with the next message; skips heartbeats, which may arrive at any moment. */
  next(): Promise<Message>
  /** Resolves with the next messages; skips heartbeats. */
  take(count: number): Promise<Message[]>
  /** Resolves with the next message of that type; skips others. */
  nextOf(type: string): Promise<Message>
  send(message: unknown): void
  sendRaw(data: string | Uint8Array): void
  /** Resolves when the connection ends. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  close(): void
}

/** Connects a WebSocket client that, like a browser, answers pings by itself. Rejects if refused. */
export async function connectSocket(
  url: string,
  protocols?: string[],
  headers?: Record<string, string>,
): Promise<SocketClient> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), {
    ...(protocols && { protocols }),
    ...(headers && { headers }),
  })
  const inbox = createInbox<Message>()
  const closed = Promise.withResolvers<{ code: number; reason: string }>()
  const opened = Promise.withResolvers<void>()
  socket.onopen = () => opened.resolve()
  socket.onmessage = ({ data }) => inbox.push(told('ws', JSON.parse(String(data))))
  socket.onclose = ({ code, reason }) => {
    inbox.end()
    closed.resolve({ code, reason })
    opened.reject(new Error(`closed before it was open: ${code}`))
  }
  await opened.promise
  const next = () => inbox.until(message => message.type !== 'heartbeat')
  return {
    inbox,
    next,
    take: async count => {
      const messages: Message[] = []
      while (messages.length < count) messages.push(await next())
      return messages
    },
    nextOf: type => inbox.until(message => message.type === type),
    send: message => socket.send(JSON.stringify(message)),
    sendRaw: data => socket.send(data),
    closed: closed.promise,
    close: () => socket.close(),
    [Symbol.dispose]: () => socket.close(),
  }
}

export interface StreamEvent {
  readonly event: string | undefined
  readonly id: string | undefined
  readonly retry: string | undefined
  readonly comment: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: tests read any field.
  readonly data: any
}

export interface StreamClient extends Disposable {
  readonly response: Response
  readonly inbox: Inbox<StreamEvent>
  /** Resolves with the next event; skips heartbeats and comments. */
  next(): Promise<StreamEvent>
  take(count: number): Promise<StreamEvent[]>
  nextOf(event: string): Promise<StreamEvent>
  readonly closed: Promise<void>
  close(): void
}

function parseEvent(block: string): StreamEvent {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  const data = fields.get('data')
  return {
    event: fields.get('event'),
    id: fields.get('id'),
    retry: fields.get('retry'),
    comment: fields.get(''),
    data: data === undefined ? undefined : told('sse', JSON.parse(data)),
  }
}

/** Opens an SSE client; comments are events without a name. Rejects if refused. */
export async function connectStream(
  url: string,
  headers: Record<string, string> = {},
): Promise<StreamClient> {
  const abort = new AbortController()
  const response = await fetch(url, { headers, signal: abort.signal })
  if (response.status !== 200) throw new Error(`refused: ${response.status} ${await response.text()}`)
  const inbox = createInbox<StreamEvent>()
  const closed = Promise.withResolvers<void>()
  const read = async () => {
    const decoder = new TextDecoder()
    let text = ''
    try {
      for await (const chunk of response.body ?? []) {
        text += decoder.decode(chunk, { stream: true })
        const blocks = text.split('\n\n')
        text = blocks.pop() ?? ''
        for (const block of blocks) inbox.push(parseEvent(block))
      }
    } catch {
      // Treat a cut as a normal end.
    }
    inbox.end()
    closed.resolve()
  }
  void read()
  const next = () => inbox.until(({ event }) => event !== undefined && event !== 'heartbeat')
  return {
    response,
    inbox,
    next,
    take: async count => {
      const events: StreamEvent[] = []
      while (events.length < count) events.push(await next())
      return events
    },
    nextOf: name => inbox.until(({ event }) => event === name),
    closed: closed.promise,
    close: () => abort.abort(),
    [Symbol.dispose]: () => abort.abort(),
  }
}
