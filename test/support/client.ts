import { createInbox, type Inbox } from './inbox.ts'
import { told } from './told.ts'

// biome-ignore lint/suspicious/noExplicitAny: a test looks into messages freely.
export type Message = any

export interface SocketClient extends Disposable {
  readonly inbox: Inbox<Message>
  /** The next message but heartbeats, which may come at any moment. */
  next(): Promise<Message>
  /** The next ones but heartbeats. */
  take(count: number): Promise<Message[]>
  /** The next message of that type; others are passed over. */
  nextOf(type: string): Promise<Message>
  send(message: unknown): void
  sendRaw(data: string | Uint8Array): void
  /** Resolves with the end of the connection. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  close(): void
}

/** A WebSocket client as a browser is one: connects, reads, answers pings by itself. Rejects when refused. */
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
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into messages freely.
  readonly data: any
}

export interface StreamClient extends Disposable {
  readonly response: Response
  readonly inbox: Inbox<StreamEvent>
  /** The next event but heartbeats and comments. */
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

/** An SSE client; comments are events without a name. Rejects when the stream is refused. */
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
      // Cut: that is an end like any other.
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
