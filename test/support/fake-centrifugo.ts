import type { ServerWebSocket } from 'bun'
import { jwtVerify } from 'jose'

/** Server with the part of Centrifugo's wire that the load uses. Its publications lose nothing and repeat nothing. */
export interface FakeCentrifugo extends Disposable {
  readonly url: string
  readonly pid: number
  /** Channels of the accepted tokens. */
  readonly channels: ReadonlySet<string>
  /** Answered pings. */
  readonly pongs: number
}

interface Options {
  readonly key: string
  readonly secret: string
  /** Drops publications in this channel. */
  readonly loses?: string
}

/** Lines of one turn, sent in one frame. */
type Session = { readonly lines: string[] }

export function startFakeCentrifugo({ key, secret, loses }: Options): FakeCentrifugo {
  const encoded = new TextEncoder().encode(secret)
  const sockets = new Map<string, Set<ServerWebSocket<Session>>>()
  let pongs = 0

  const say = (socket: ServerWebSocket<Session>, message: object): void => {
    const { lines } = socket.data
    if (lines.push(JSON.stringify(message)) > 1) return
    setImmediate(() => socket.send(lines.splice(0).join('\n')))
  }

  const connect = async (socket: ServerWebSocket<Session>, id: number, token: string): Promise<void> => {
    const { payload } = await jwtVerify(token, encoded)
    for (const channel of payload['channels'] as readonly string[]) {
      const members = sockets.get(channel) ?? new Set()
      sockets.set(channel, members.add(socket))
    }
    say(socket, { id, connect: { client: crypto.randomUUID(), version: '6.0.0', ping: 25, pong: true } })
    say(socket, {})
  }

  const publish = async (request: Request): Promise<Response> => {
    if (request.headers.get('x-api-key') !== key) return new Response(null, { status: 401 })
    const { channel, data } = (await request.json()) as { readonly channel: string; readonly data: unknown }
    if (channel !== loses)
      for (const socket of sockets.get(channel) ?? []) say(socket, { push: { channel, pub: { data } } })
    return Response.json({ result: {} })
  }

  const server = Bun.serve<Session>({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, host) => {
      const { pathname } = new URL(request.url)
      if (pathname === '/api/publish') return publish(request)
      const isUpgraded =
        pathname === '/connection/websocket' && host.upgrade(request, { data: { lines: [] } })
      return isUpgraded ? undefined : new Response(null, { status: 404 })
    },
    websocket: {
      message: async (socket, text) => {
        const { id, connect: asked } = JSON.parse(String(text))
        if (asked === undefined) pongs++
        else await connect(socket, id, asked.token)
      },
      close: socket => {
        for (const members of sockets.values()) members.delete(socket)
      },
    },
  })

  return {
    url: `http://127.0.0.1:${server.port}`,
    pid: process.pid,
    get channels() {
      return new Set(sockets.keys())
    },
    get pongs() {
      return pongs
    },
    [Symbol.dispose]: () => void server.stop(true),
  }
}
