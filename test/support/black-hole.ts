import { dlopen, FFIType, ptr } from 'bun:ffi'

/** TCP client whose network can vanish: its kernel then neither accepts nor acknowledges packets. */
export interface VanishingClient extends Disposable {
  /** Bytes received so far. */
  text(): string
  /** Drops incoming segments before TCP sees them, without FIN or RST. */
  vanish(): void
}

const { int, ptr: pointer, i64, u64 } = FFIType
const AF_INET = 2
const SOCK_STREAM = 1
const MSG_DONTWAIT = 0x40
const SOL_SOCKET = 1
const SO_ATTACH_FILTER = 26
const ADDRESS_BYTES = 16
const BUFFER_BYTES = 1024 * 1024

const { symbols: libc } = dlopen('libc.so.6', {
  socket: { args: [int, int, int], returns: int },
  connect: { args: [int, pointer, int], returns: int },
  send: { args: [int, pointer, u64, int], returns: i64 },
  recv: { args: [int, pointer, u64, int], returns: i64 },
  setsockopt: { args: [int, int, int, pointer, int], returns: int },
  close: { args: [int], returns: int },
})

function loopback(port: number): Uint8Array {
  const address = Buffer.alloc(ADDRESS_BYTES)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(port, 2)
  address.set([127, 0, 0, 1], 4)
  return address
}

/** Connects to 127.0.0.1 and sends `request`. */
export function vanishingClient(port: number, request: string): VanishingClient {
  const descriptor = libc.socket(AF_INET, SOCK_STREAM, 0)
  if (libc.connect(descriptor, ptr(loopback(port)), ADDRESS_BYTES) !== 0) throw new Error('cannot connect')
  const bytes = Buffer.from(request)
  libc.send(descriptor, ptr(bytes), bytes.length, 0)
  const buffer = Buffer.alloc(BUFFER_BYTES)
  let received = ''
  return {
    text: () => {
      const count = Number(libc.recv(descriptor, ptr(buffer), buffer.length, MSG_DONTWAIT))
      if (count > 0) received += buffer.toString('utf8', 0, count)
      return received
    },
    vanish: () => {
      // Attach one instruction of the classic packet filter: `ret #0` drops every packet.
      const instruction = Buffer.from([0x06, 0, 0, 0, 0, 0, 0, 0])
      const filter = Buffer.alloc(16)
      filter.writeUInt16LE(1, 0)
      filter.writeBigUInt64LE(BigInt(ptr(instruction)), 8)
      if (libc.setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, ptr(filter), filter.length) !== 0)
        throw new Error('cannot attach a filter')
    },
    [Symbol.dispose]: () => void libc.close(descriptor),
  }
}
