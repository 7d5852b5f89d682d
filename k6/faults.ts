import type { Server, ServerWebSocket } from 'bun'

/** What becomes of a frame: when it goes on, in milliseconds from now; twice, if there are two; nothing drops it. */
type Fate = readonly number[]

/** The numbers in a notification of ours. */
export interface Marked {
  /** Number of the client; undefined for what goes to a channel. */
  readonly to: number | undefined
  readonly n: number
}

/** What a service may do wrong, as a client sees it. All is counted from 0. */
export interface Fault {
  readonly name: string
  /** The n-th wish for a WebSocket is refused with 503. */
  readonly refuses?: (n: number) => boolean
  /** The n-th WebSocket gets its 101, and nothing ever after it. */
  readonly leavesAlone?: (n: number) => boolean
  /** The client's cursor does not reach the service. */
  readonly forgetsCursors?: boolean
  /** A WebSocket is cut after so many frames. */
  readonly cutsAfter?: number
  /** What clients say does not reach the service. */
  readonly isDeaf?: boolean
  /** Of a notification; others go on at once. */
  readonly fate?: (marked: Marked) => Fate
  /** Whether a delayed frame is overtaken by those behind it. */
  readonly overtaken?: boolean
  /** Before each frame comes one that is no message. */
  readonly garbage?: boolean
  /** The n-th request is answered so late, or with 503, or with an empty object. */
  readonly answers?: (n: number) => { readonly lateMs?: number; readonly instead?: 503 | 200 }
}

interface Relay {
  readonly url: string
  readonly left: boolean
  /** What the client says before the far side is open. */
  readonly waiting: string[]
  far: WebSocket | undefined
  frames: number
  /** How many delayed frames wait, and when the last has left: those behind it leave no earlier. */
  delayed: number
  last: Promise<void>
}

type Near = ServerWebSocket<Relay>

function markedOf(text: string): Marked | undefined {
  const { type, payload } = JSON.parse(text)
  if (type !== 'notification') return undefined
  return { to: payload.to, n: payload.n }
}

/** After so long, and after what is before it. */
function sendLate(near: Near, text: string, lateMs: number, before: Promise<void>): void {
  const { data } = near
  data.delayed++
  data.last = Promise.all([before, Bun.sleep(lateMs)]).then(() => {
    data.delayed--
    near.send(text)
  })
}

/** Passes on a frame as the fault has it. */
function relay(near: Near, text: string, { fate, overtaken, garbage, cutsAfter }: Fault): void {
  const { data } = near
  if (cutsAfter !== undefined && data.frames++ >= cutsAfter) {
    near.terminate()
    return
  }
  const marked = markedOf(text)
  if (garbage) near.send('no message')
  for (const lateMs of (marked && fate?.(marked)) ?? [0]) {
    if (lateMs === 0 && (overtaken || data.delayed === 0)) near.send(text)
    else sendLate(near, text, lateMs, overtaken ? Promise.resolve() : data.last)
  }
}

/** A server on a free port of 127.0.0.1 between k6 and a service, that spoils what passes. */
export function startFaulty(host: string, fault: Fault): Server<Relay> {
  let upgrades = 0
  let requests = 0

  const upgrade = (request: Request, server: Server<Relay>): Response | undefined => {
    const n = upgrades++
    if (fault.refuses?.(n)) return new Response('', { status: 503 })
    const { pathname, searchParams } = new URL(request.url)
    if (fault.forgetsCursors && searchParams.get('cursor')) searchParams.set('cursor', 'forgotten:1')
    const data: Relay = {
      url: `ws://${host}${pathname}?${searchParams}`,
      left: fault.leavesAlone?.(n) ?? false,
      waiting: [],
      far: undefined,
      frames: 0,
      delayed: 0,
      last: Promise.resolve(),
    }
    return server.upgrade(request, { data }) ? undefined : new Response('', { status: 426 })
  }

  const pass = async (request: Request): Promise<Response> => {
    const { lateMs = 0, instead } = fault.answers?.(requests++) ?? {}
    const { pathname, search } = new URL(request.url)
    const answer = await fetch(`http://${host}${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      ...(request.method === 'POST' && { body: await request.arrayBuffer() }),
    })
    const body = await answer.text()
    if (lateMs > 0) await Bun.sleep(lateMs)
    if (instead !== undefined) return new Response('{}', { status: instead })
    return new Response(body, { status: answer.status, headers: { 'content-type': 'application/json' } })
  }

  return Bun.serve<Relay>({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, server) =>
      new URL(request.url).pathname === '/ws' ? upgrade(request, server) : pass(request),
    websocket: {
      open: near => {
        const { data } = near
        if (data.left) return
        const far = new WebSocket(data.url)
        data.far = far
        far.onopen = () => {
          for (const text of data.waiting.splice(0)) far.send(text)
        }
        far.onmessage = ({ data: text }) => relay(near, String(text), fault)
        far.onclose = () => near.close()
      },
      message: ({ data }, text) => {
        if (fault.isDeaf || data.left) return
        if (data.far?.readyState === WebSocket.OPEN) data.far.send(text)
        else data.waiting.push(String(text))
      },
      close: ({ data }) => data.far?.close(),
    },
  })
}
