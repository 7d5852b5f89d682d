import { FFIType } from 'bun:ffi'
import { closeSync, openSync } from 'node:fs'
import { openLibc } from './libc.ts'
import { findWatchedSocket } from './watched-socket.ts'

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
const SOCK_NONBLOCK_CLOEXEC = 0o2004000
const RESERVE = 16

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

/**
 * Without a free descriptor the runtime spins: accept fails and the socket stays readable. Linux lets
 * us remove the socket from the runtime's epoll instance and add it back. Undefined where that is impossible.
 */
export function findListenSocket(port: number): ListenSocket | undefined {
  const libc = openLibc({
    accept4: { args: [int, pointer, pointer, int], returns: int },
    close: { args: [int], returns: int },
  })
  const socket = findWatchedSocket(port)
  if (libc === undefined || socket === undefined) return undefined
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
      socket.hide()
      release()
    },
    resume: () => {
      reserve = openReserve()
      socket.show()
    },
    turnAway: most => {
      for (let count = 0; count < most; count++) {
        const accepted = libc.accept4(socket.descriptor, null, null, SOCK_NONBLOCK_CLOEXEC)
        if (accepted < 0) return count
        libc.close(accepted)
      }
      return most
    },
    [Symbol.dispose]: release,
  }
}
