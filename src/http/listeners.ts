import type { Server, WebSocketHandler } from 'bun'
import { type Config, ConfigError } from '../config/config.ts'
import type { Side } from './request/guard.ts'

type Settings = Pick<Config, 'serverHost' | 'serverPort' | 'internalPort' | 'keepAliveSeconds'>

interface ListenOptions<T> {
  readonly settings: Settings
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
  /** Resolves when requests in flight have ended; `force` aborts them. */
  stop(force?: boolean): Promise<void>
}

export function createSides({ internalPort }: Pick<Settings, 'internalPort'>): Sides {
  const internal = new WeakSet<Request>()
  const otherwise = internalPort === 0 ? 'only' : 'public'
  return {
    of: request => (internal.has(request) ? 'internal' : otherwise),
    noteInternal: request => void internal.add(request),
  }
}

function refusalOf(error: unknown, name: 'SERVER_PORT' | 'INTERNAL_PORT', port: number, host: string) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === undefined) return error
  return new ConfigError(
    code === 'EADDRINUSE'
      ? `${name}: expected a free port, ${port} is in use`
      : `SERVER_HOST: expected an address to listen on (${String(code)} on ${host}:${port})`,
  )
}

/** Opens the listeners. Throws ConfigError for a port in use, and then leaves none open. */
export function listen<T>({ settings, sides, fetch, websocket }: ListenOptions<T>): Listeners<T> {
  const { serverHost: hostname, serverPort, internalPort, keepAliveSeconds } = settings
  const common = {
    hostname,
    idleTimeout: keepAliveSeconds,
    // Routes check body sizes: the runtime's own refusal has no error envelope.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  }
  const open = <S>(name: 'SERVER_PORT' | 'INTERNAL_PORT', port: number, serve: () => S): S => {
    try {
      return serve()
    } catch (error) {
      throw refusalOf(error, name, port, hostname)
    }
  }
  const internal =
    internalPort === 0
      ? undefined
      : open('INTERNAL_PORT', internalPort, () =>
          Bun.serve({
            ...common,
            port: internalPort,
            fetch: request => {
              sides.noteInternal(request)
              return fetch(request)
            },
          }),
        )
  try {
    const server = open('SERVER_PORT', serverPort, () =>
      Bun.serve({ ...common, port: serverPort, fetch, websocket }),
    )
    return {
      server,
      internalPort: internal?.port,
      stop: async force => void (await Promise.all([server.stop(force), internal?.stop(force)])),
    }
  } catch (error) {
    void internal?.stop(true)
    throw error
  }
}
