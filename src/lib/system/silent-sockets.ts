import { FFIType } from 'bun:ffi'
import { openLibc } from './libc.ts'

/** Sockets of clients that connected to a port of this process and never got an answer. */
export interface SilentSockets {
  /** Returns the client's address when the descriptor is such a socket. */
  addressOf(descriptor: number): string | undefined
  /** Ends the connection; the runtime then closes the socket. */
  end(descriptor: number): void
}

const { int, ptr: pointer } = FFIType
const IPPROTO_TCP = 6
const TCP_INFO = 11
const SHUT_RDWR = 2
const ESTABLISHED = 1
const AF_INET6 = 10
const INFO_BYTES = 136
const ADDRESS_BYTES = 28
/** Time without data after which a connection is silent: before its first byte, and while it has no answer. */
const SILENT_MS = { unused: 1_000, unanswered: 5_000 }
const NETWORK_GROUPS = 4
const MAPPED = '0:0:0:0:0:ffff'

/** Names an IPv4 address, or the /64 of an IPv6 address. */
function nameOf(address: Buffer): string {
  if (address.readUInt16LE(0) !== AF_INET6) return address.subarray(4, 8).join('.')
  const groups = Array.from({ length: 8 }, (_, n) => address.readUInt16BE(8 + 2 * n).toString(16))
  return groups.slice(0, 6).join(':') === MAPPED
    ? address.subarray(20, 24).join('.')
    : `${groups.slice(0, NETWORK_GROUPS).join(':')}::`
}

/** Reads `struct tcp_info` of Linux. The handshake counts as one acknowledged byte. */
function isSilent(info: Buffer): boolean {
  const isAnswered = info.readBigUInt64LE(120) > 1n
  const { unused, unanswered } = SILENT_MS
  const leastMs = info.readBigUInt64LE(128) === 0n ? unused : unanswered
  return info.readUInt8(0) === ESTABLISHED && !isAnswered && info.readUInt32LE(52) >= leastMs
}

/** Undefined where the system does not tell. */
export function silentSocketsOf(port: number): SilentSockets | undefined {
  const libc = openLibc({
    getsockopt: { args: [int, int, int, pointer, pointer], returns: int },
    getsockname: { args: [int, pointer, pointer], returns: int },
    getpeername: { args: [int, pointer, pointer], returns: int },
    shutdown: { args: [int, int], returns: int },
  })
  if (libc === undefined) return undefined
  const info = Buffer.alloc(INFO_BYTES)
  const address = Buffer.alloc(ADDRESS_BYTES)
  const length = Buffer.alloc(4)

  const lengthOf = (bytes: Buffer): Buffer => {
    length.writeUInt32LE(bytes.length)
    return length
  }
  const isOnPort = (descriptor: number): boolean =>
    libc.getsockname(descriptor, address, lengthOf(address)) === 0 && address.readUInt16BE(2) === port

  return {
    addressOf: descriptor => {
      if (libc.getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, lengthOf(info)) !== 0) return undefined
      if (length.readUInt32LE() < INFO_BYTES || !isSilent(info) || !isOnPort(descriptor)) return undefined
      return libc.getpeername(descriptor, address, lengthOf(address)) === 0 ? nameOf(address) : undefined
    },
    end: descriptor => void libc.shutdown(descriptor, SHUT_RDWR),
  }
}
