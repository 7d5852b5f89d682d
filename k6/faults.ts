import type { Server, ServerWebSocket } from 'bun'

/** Delays in milliseconds at which a frame is passed on; two delays duplicate it, none drops it. */
type Fate = readonly number[]

/** Numbers in a notification of this run. */
export interface Marked {
  /** Number of the client; undefined for a channel notification. */
  readonly to: number | undefined
  readonly n: number
}

/** Fault of a service as a client sees it. All numbers count from 0. */
export interface Fault {
  readonly name: string
  /** Rejects the n-th WebSocket request with 503. */
  readonly refuses?: (n: number) => boolean
  /** Opens the n-th WebSocket and then sends nothing on it. */
  readonly leavesAlone?: (n: number) => boolean
  /** Removes the client's cursor. */
  readonly forgetsCursors?: boolean
  /** Cuts a WebSocket after this many frames. */
  readonly cutsAfter?: number
  /** Drops client messages. */
  readonly isDeaf?: boolean
  /** Delays of a notification; all other frames pass at once. */
  readonly fate?: (marked: Marked) => Fate
  /** True if later frames overtake a delayed one. */
  readonly overtaken?: boolean
  /** Sends an invalid frame before each frame. */
  readonly garbage?: boolean
  /** Delays the n-th answer, or replaces it by 503 or an empty object. */
  readonly answers?: (n: number) => { readonly lateMs?: number; readonly instead?: 503 | 200 }
}

interface Relay {
  readonly url: string
  readonly left: boolean
  /** Client frames from before the service side is open. */
  readonly waiting: string[]
  far: WebSocket | undefined
  frames: number
  /** Number of delayed frames, and the time of the last: later frames must not leave earlier. */
  delayed: number
  last: Promise<void>
}

type Near = ServerWebSocket<Relay>

function markedOf(text: string): Marked | undefined {
  const { type, payload } = JSON.parse(text)
  if (type !== 'notification') return undefined
  return { to: payload.to, n: payload.n }
}

/** Runs after the delay and after all earlier frames. */
function sendLate(near: Near, text: string, lateMs: number, before: Promise<void>): void {
  const { data } = near
  data.delayed++
  data.last = Promise.all([before, Bun.sleep(lateMs)]).then(() => {
    data.delayed--
    near.send(text)
  })
}

/** Passes on a frame according to the fault. */
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

/** Proxy on a free port of 127.0.0.1 between k6 and a service, which injects the fault. */
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
