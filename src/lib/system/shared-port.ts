import { FFIType } from 'bun:ffi'
import { readdirSync } from 'node:fs'
import { openLibc } from './libc.ts'
import { findWatchedSocket } from './watched-socket.ts'

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
const SHUT_RD = 0
/** The system lowers it to `net.core.somaxconn`. */
const BACKLOG = 4_096
const ADDRESS_BYTES = 28

const unsupported = () => new Error('the C library of Linux cannot be used')

/**
 * Puts the inherited socket in the place of the one that listens on `port`, and listens. The runtime
 * cannot serve an inherited socket itself. Connections that wait in it are served: none is reset.
 */
export function takeSocket(inherited: number, port: number): TakenSocket {
  const libc = openLibc({
    listen: { args: [int, int], returns: int },
    dup2: { args: [int, int], returns: int },
    close: { args: [int], returns: int },
    shutdown: { args: [int, int], returns: int },
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
    silence: () => void libc.shutdown(descriptor, SHUT_RD),
    connections: () => {
      const shared = portOf(descriptor)
      return readdirSync('/proc/self/fd').filter(
        each => Number(each) !== descriptor && portOf(Number(each)) === shared,
      ).length
    },
  }
}
