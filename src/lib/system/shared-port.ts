import { FFIType } from 'bun:ffi'
import { readdirSync } from 'node:fs'
import { openLibc } from './libc.ts'
import { findWatchedSocket } from './watched-socket.ts'

/** Port reserved for several processes: one socket for each, all bound by SO_REUSEPORT. */
export interface SharedPort {
  readonly port: number
  /** Sockets to pass to the processes; none listens yet. */
  readonly sockets: readonly number[]
  /** Stops the listening of a socket whose process has ended; the port stays reserved. */
  silence(socket: number): void
}

/** Socket of a shared port that this process serves. */
export interface TakenSocket {
  /** Leaves new connections to the other processes that hold the socket. */
  leave(): void
  /** Refuses new connections, for all processes that hold the socket. */
  silence(): void
  /** Counts the open connections of this process on the port. */
  connections(): number
}

const { int, ptr: pointer } = FFIType
const F_DUPFD_CLOEXEC = 1030
/** Descriptors below are standard ones of the child processes. */
const FIRST_COPY = 10
const SHUT_RD = 0
const SOL_SOCKET = 1
const SO_ACCEPTCONN = 30
/** The system lowers it to `net.core.somaxconn`. */
const BACKLOG = 4_096
const ADDRESS_BYTES = 28

const unsupported = () => new Error('the C library of Linux cannot be used')

interface ReserveOptions {
  readonly hostname: string
  /** 0 = any free one. */
  readonly port: number
  readonly count: number
}

const FUNCTIONS = {
  getsockopt: { args: [int, int, int, pointer, pointer], returns: int },
  shutdown: { args: [int, int], returns: int },
} as const

type Libc = NonNullable<ReturnType<typeof openLibc<typeof FUNCTIONS>>>

/** Stops the listening. On a socket that does not listen, `shutdown` would end all its later connections. */
function silence(libc: Libc, socket: number): void {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])]
  libc.getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, value, length)
  if (value.readInt32LE() === 1) libc.shutdown(socket, SHUT_RD)
}

/** Reserves a port. Throws with code EADDRINUSE if another program has it. */
export function reservePort({ hostname, port: wanted, count }: ReserveOptions): SharedPort {
  const libc = openLibc({
    ...FUNCTIONS,
    fcntl: { args: [int, int, int], returns: int },
  })
  if (libc === undefined) throw unsupported()
  const listen = (port: number, reusePort: boolean) => {
    // The types of the runtime lack `reusePort` here.
    const options = { hostname, port, reusePort, socket: { data: () => {} } }
    return Bun.listen(options)
  }
  // Without SO_REUSEPORT this fails if any other socket listens on the port.
  const probe = listen(wanted, false)
  const { port } = probe
  probe.stop(true)

  /** Takes one turn, so the runtime accepts nothing. */
  const bind = (): number => {
    const listener = listen(port, true)
    const watched = findWatchedSocket(port)
    if (watched === undefined) throw unsupported()
    const socket = libc.fcntl(watched.descriptor, F_DUPFD_CLOEXEC, FIRST_COPY)
    silence(libc, socket)
    listener.stop(true)
    return socket
  }
  return { port, sockets: Array.from({ length: count }, bind), silence: socket => silence(libc, socket) }
}

/**
 * Puts the inherited socket in the place of the one that listens on `port`, and listens. The runtime
 * cannot serve an inherited socket itself. Connections that wait in it are served: none is reset.
 */
export function takeSocket(inherited: number, port: number): TakenSocket {
  const libc = openLibc({
    ...FUNCTIONS,
    listen: { args: [int, int], returns: int },
    dup2: { args: [int, int], returns: int },
    close: { args: [int], returns: int },
    getsockname: { args: [int, pointer, pointer], returns: int },
  })
  const socket = findWatchedSocket(port)
  if (libc === undefined || socket === undefined) throw unsupported()
  const { descriptor } = socket
  socket.hide()
  if (libc.dup2(inherited, descriptor) < 0 || libc.listen(descriptor, BACKLOG) < 0) throw unsupported()
  libc.close(inherited)
  socket.show()

  const address = Buffer.alloc(ADDRESS_BYTES)
  const length = Buffer.alloc(4)
  const portOf = (each: number): number => {
    length.writeUInt32LE(ADDRESS_BYTES)
    // The address of a Unix socket has no port.
    address.fill(0)
    return libc.getsockname(each, address, length) === 0 ? address.readUInt16BE(2) : 0
  }

  return {
    leave: socket.hide,
    silence: () => silence(libc, descriptor),
    connections: () => {
      const shared = portOf(descriptor)
      return readdirSync('/proc/self/fd').filter(
        each => Number(each) !== descriptor && portOf(Number(each)) === shared,
      ).length
    },
  }
}
