/** Broadcasts to streams: all events of a turn form one string per stream. */
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send, userOf } from './wire.ts'

interface Stream {
  readonly controller: ReadableStreamDefaultController<string>
  pending: string
}

const HEADERS = { 'content-type': 'text/event-stream' }

const streams = new Set<Stream>()
let isFlushing = false

function flush(): void {
  isFlushing = false
  for (const stream of streams) {
    stream.controller.enqueue(stream.pending)
    stream.pending = ''
  }
}

function write(event: string): void {
  for (const stream of streams) stream.pending += event
  if (!isFlushing) setImmediate(flush)
  isFlushing = true
}

function open(user: string): Response {
  let stream: Stream | undefined
  const body = new ReadableStream<string>({
    start(controller) {
      stream = { controller, pending: '' }
      streams.add(stream)
      controller.enqueue(`event: connected\ndata: {"type":"connected","user_id":"${user}"}\n\n`)
    },
    cancel() {
      if (stream !== undefined) streams.delete(stream)
    },
  })
  return new Response(body, { headers: HEADERS })
}

Bun.serve({
  ...LISTEN,
  async fetch(request) {
    const path = pathOf(request)
    if (path.startsWith('/sse?')) {
      const user = userOf(path)
      return user === undefined ? new Response(null, { status: 401 }) : open(user)
    }
    if (path !== `${SENDS}/broadcast` || !hasKey(request)) return other(path)
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    write(`event: notification\ndata: ${frameOf(send, id)}\n\n`)
    return resultOf(id, streams.size)
  },
})
