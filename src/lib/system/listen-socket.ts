import { dlopen, FFIType, ptr } from 'bun:ffi'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Listening socket of this process that can stop accepting. */
export interface ListenSocket extends Disposable {
  /** Descriptors held in reserve until the pause. */
  readonly reserved: number
  /** Hides new connections from the runtime. */
  pause(): void
  resume(): void
  /** While paused, accepts and closes at most `most` waiting connections; returns their number. */
  turnAway(most: number): number
}

const { int, ptr: pointer } = FFIType
const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const SOCK_NONBLOCK_CLOEXEC = 0o2004000
const LISTENING = '0A'
const RESERVE = 16
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/** Builds a `struct epoll_event`, which only x86-64 packs. */
function eventOf(events: number, data: bigint): Uint8Array {
  const at = process.arch === 'x64' ? 4 : 8
  const event = Buffer.alloc(at + 8)
  event.writeUInt32LE(events, 0)
  event.writeBigUInt64LE(data, at)
  return event
}

function loadLibc() {
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, {
        epoll_ctl: { args: [int, int, int, pointer], returns: int },
        accept4: { args: [int, pointer, pointer, int], returns: int },
        close: { args: [int], returns: int },
      }).symbols
    } catch {
      // Try the next name.
    }
  }
  return undefined
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

/** Reserves descriptors for files and for rejecting connections when sockets use all others. */
function openReserve(): readonly number[] {
  const reserve: number[] = []
  try {
    while (reserve.length < RESERVE) reserve.push(openSync('/dev/null', 'r'))
  } catch {
    // Take as many as the limit allows.
  }
  return reserve
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

/**
 * Without a free descriptor the runtime spins: accept fails and the socket stays readable. Linux lets
 * us remove the socket from the runtime's epoll instance and add it back. Undefined where that is impossible.
 */
export function findListenSocket(port: number): ListenSocket | undefined {
  if (process.platform !== 'linux') return undefined
  const libc = loadLibc()
  const inodes = inodesOf(port)
  const descriptors = readdirSync('/proc/self/fd')
  const socket = descriptors.find(each => inodes.has(/^socket:\[(\d+)\]$/.exec(linkOf(each))?.[1] ?? ''))
  const watch = socket && watchOf(socket, descriptors)
  if (libc === undefined || !watch) return undefined
  const descriptor = Number(socket)
  let reserve = openReserve()
  const release = (): void => {
    for (const each of reserve) closeSync(each)
    reserve = []
  }

  return {
    get reserved() {
      return reserve.length
    },
    pause: () => {
      libc.epoll_ctl(watch.epoll, EPOLL_CTL_DEL, descriptor, ptr(watch.event))
      release()
    },
    resume: () => {
      reserve = openReserve()
      libc.epoll_ctl(watch.epoll, EPOLL_CTL_ADD, descriptor, ptr(watch.event))
    },
    turnAway: most => {
      for (let count = 0; count < most; count++) {
        const accepted = libc.accept4(descriptor, null, null, SOCK_NONBLOCK_CLOEXEC)
        if (accepted < 0) return count
        libc.close(accepted)
      }
      return most
    },
    [Symbol.dispose]: release,
  }
}
