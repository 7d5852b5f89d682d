import { FFIType, ptr } from 'bun:ffi'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { openLibc } from './libc.ts'

/** Listening socket of this process, as the runtime's epoll instance watches it. */
export interface WatchedSocket {
  readonly descriptor: number
  /** Removes the socket from the epoll instance: the runtime sees no new connections. */
  hide(): void
  /** Adds the descriptor back, whatever socket it is now. */
  show(): void
}

const { int, ptr: pointer } = FFIType
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const LISTENING = '0A'
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/** Builds a `struct epoll_event`, which only x86-64 packs. */
function eventOf(events: number, data: bigint): Uint8Array {
  const at = process.arch === 'x64' ? 4 : 8
  const event = Buffer.alloc(at + 8)
  event.writeUInt32LE(events, 0)
  event.writeBigUInt64LE(data, at)
  return event
}

/** Finds the inodes of the sockets that listen on the port. */
function inodesOf(port: number): ReadonlySet<string> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = TABLES.flatMap(path => {
    try {
      return readFileSync(path, 'latin1').split('\n')
    } catch {
      return []
    }
  }).map(row => row.trim().split(/\s+/))
  const listening = rows.filter(([, address = '', , state]) => state === LISTENING && address.endsWith(local))
  return new Set(listening.flatMap(row => row[9] ?? []))
}

function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}

/** Finds how the runtime's epoll watches the socket: `tfd: 5 events: 19 data: 4fe273f80060 …`. */
function watchOf(socket: string, descriptors: readonly string[]) {
  const pattern = new RegExp(`^tfd:\\s+${socket} events:\\s+([0-9a-f]+) data:\\s+([0-9a-f]+)`, 'm')
  for (const descriptor of descriptors) {
    if (linkOf(descriptor) !== 'anon_inode:[eventpoll]') continue
    const [, events, data] = pattern.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')) ?? []
    if (events !== undefined && data !== undefined)
      return { epoll: Number(descriptor), event: eventOf(Number.parseInt(events, 16), BigInt(`0x${data}`)) }
  }
  return undefined
}

/** Finds the socket of this process that listens on the port. Undefined where Linux does not tell. */
export function findWatchedSocket(port: number): WatchedSocket | undefined {
  const libc = openLibc({ epoll_ctl: { args: [int, int, int, pointer], returns: int } })
  if (libc === undefined) return undefined
  const inodes = inodesOf(port)
  const descriptors = readdirSync('/proc/self/fd')
  const socket = descriptors.find(each => inodes.has(/^socket:\[(\d+)\]$/.exec(linkOf(each))?.[1] ?? ''))
  const watch = socket && watchOf(socket, descriptors)
  if (!watch) return undefined
  const descriptor = Number(socket)
  return {
    descriptor,
    hide: () => void libc.epoll_ctl(watch.epoll, EPOLL_CTL_DEL, descriptor, ptr(watch.event)),
    show: () => void libc.epoll_ctl(watch.epoll, EPOLL_CTL_ADD, descriptor, ptr(watch.event)),
  }
}
