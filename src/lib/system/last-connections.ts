import { FFIType, ptr } from 'bun:ffi'
import { openLibc } from './libc.ts'
import { findWatchedSocket } from './watched-socket.ts'

const { int, ptr: pointer } = FFIType
const SOL_SOCKET = 1
const SO_ATTACH_FILTER = 26
/** Drops packets with the flag SYN: `ldb [13]; jset #2, drop; ret #-1; drop: ret #0`. */
const DROP_SYN = [
  [0x30, 0, 0, 13],
  [0x45, 1, 0, 2],
  [0x06, 0, 0, 0xffff_ffff],
  [0x06, 0, 0, 0],
] as const

function programOf(instructions: typeof DROP_SYN): Buffer {
  const program = Buffer.alloc(8 * instructions.length)
  for (const [n, [code, yes, no, k]] of instructions.entries()) {
    program.writeUInt16LE(code, 8 * n)
    program.writeUInt8(yes, 8 * n + 2)
    program.writeUInt8(no, 8 * n + 3)
    program.writeUInt32LE(k, 8 * n + 4)
  }
  return program
}

/**
 * Makes the kernel drop attempts to connect to the port of this process. Connections that are under way complete. Closing
 * the socket at once would reset those that wait in it. False where Linux does not allow it.
 */
export function dropNewConnections(port: number): boolean {
  const libc = openLibc({ setsockopt: { args: [int, int, int, pointer, int], returns: int } })
  const socket = findWatchedSocket(port)
  if (libc === undefined || socket === undefined) return false
  const program = programOf(DROP_SYN)
  // A `struct sock_fprog`: the number of instructions and their address.
  const filter = Buffer.alloc(16)
  filter.writeUInt16LE(DROP_SYN.length, 0)
  filter.writeBigUInt64LE(BigInt(ptr(program)), 8)
  return libc.setsockopt(socket.descriptor, SOL_SOCKET, SO_ATTACH_FILTER, ptr(filter), filter.length) === 0
}
