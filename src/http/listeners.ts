import type { Server, WebSocketHandler } from 'bun'
import type { Config } from '../config/config.ts'
import { listenRefusal } from '../config/listen-refusal.ts'
import { dropNewConnections } from '../lib/system/last-connections.ts'
import { type TakenSocket, takeSocket } from '../lib/system/shared-port.ts'
import type { Side } from './request/guard.ts'

type Settings = Pick<Config, 'serverHost' | 'serverPort' | 'internalPort' | 'keepAliveSeconds'>

/** Descriptors of sockets that this process shares with others. */
export interface InheritedSockets {
  readonly public: number
  /** Only with INTERNAL_PORT. */
  readonly internal?: number | undefined
}

interface ListenOptions<T> {
  readonly settings: Settings
  /** Undefined: this process opens the ports itself. */
  readonly inherited?: InheritedSockets | undefined
  readonly sides: Sides
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly websocket: WebSocketHandler<T>
}

/** Remembers which requests arrived at the internal port. */
interface Sides {
  readonly of: (request: Request) => Side
  readonly noteInternal: (request: Request) => void
}

/** The public listener, and the internal one if INTERNAL_PORT is set. */
export interface Listeners<T> {
  /** The public listener. */
  readonly server: Server<T>
  readonly internalPort: number | undefined
  /** Leaves new connections to the other processes that hold the inherited sockets. */
  leave(): void
  /** Counts the open connections on inherited sockets. */
  connections(): number
  /** Resolves when requests in flight have ended; `force` aborts them. */
  stop(force?: boolean): Promise<void>
}

/** Time to accept the connections that wait in a socket, and to read their requests. */
const WAITING_MS = 20

/** Address of a listener until its socket is exchanged for an inherited one. */
const TEMPORARY = { hostname: '127.0.0.1', port: 0 }

export function createSides({ internalPort }: Pick<Settings, 'internalPort'>): Sides {
  const internal = new WeakSet<Request>()
  const otherwise = internalPort === 0 ? 'only' : 'public'
  return {
    of: request => (internal.has(request) ? 'internal' : otherwise),
    noteInternal: request => void internal.add(request),
  }
}

/** Accepts the connections that wait in the sockets, and no more: closing the sockets would reset them. */
async function serveWaiting(ports: readonly (number | undefined)[]): Promise<void> {
  const dropping = ports.filter(port => port !== undefined).map(dropNewConnections)
  if (dropping.includes(true)) await Bun.sleep(WAITING_MS)
}

/** Opens the listeners. Throws ConfigError for a port in use, and then leaves none open. */
export function listen<T>({ settings, inherited, sides, fetch, websocket }: ListenOptions<T>): Listeners<T> {
  const { serverHost, serverPort, internalPort, keepAliveSeconds } = settings
  const common = {
    idleTimeout: keepAliveSeconds,
    // Routes check body sizes: the runtime's own refusal has no error envelope.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  }
  const taken: TakenSocket[] = []
  let hasLeft = false

  const open = <S extends { readonly port?: number | undefined }>(
    name: 'SERVER_PORT' | 'INTERNAL_PORT',
    socket: number | undefined,
    serve: (at: { readonly hostname: string; readonly port: number }) => S,
  ): S => {
    const own = { hostname: serverHost, port: name === 'SERVER_PORT' ? serverPort : internalPort }
    try {
      const server = serve(socket === undefined ? own : TEMPORARY)
      if (socket !== undefined) taken.push(takeSocket(socket, server.port ?? 0))
      return server
    } catch (error) {
      throw listenRefusal(error, { name, ...own })
    }
  }
  const internal =
    internalPort === 0
      ? undefined
      : open('INTERNAL_PORT', inherited?.internal, at =>
          Bun.serve({
            ...common,
            ...at,
            fetch: request => {
              sides.noteInternal(request)
              return fetch(request)
            },
          }),
        )
  try {
    const server = open('SERVER_PORT', inherited?.public, at =>
      Bun.serve({ ...common, ...at, fetch, websocket }),
    )
    return {
      server,
      internalPort: internal?.port,
      leave: () => {
        hasLeft = true
        for (const socket of taken) socket.leave()
      },
      connections: () => taken.reduce((sum, socket) => sum + socket.connections(), 0),
      stop: async force => {
        // Otherwise clients would wait in a socket that other processes hold.
        if (!hasLeft) for (const socket of taken) socket.silence()
        if (inherited === undefined && !force) await serveWaiting([server.port, internal?.port])
        await Promise.all([server.stop(force), internal?.stop(force)])
      },
    }
  } catch (error) {
    void internal?.stop(true)
    throw error
  }
}
