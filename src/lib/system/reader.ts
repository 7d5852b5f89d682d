import { FFIType } from 'bun:ffi'
import { openLibc } from './libc.ts'

const { ptr: pointer, u64, i32 } = FFIType
/** POLLERR: the reading end of the pipe is closed. POLLHUP: the socket or terminal is. */
const GONE = 0x08 | 0x10
const PERIOD_MS = 1_000

/**
 * Calls `onGone` when the other end of a pipe, socket or terminal is closed, without a write. Returns its stop. Calls
 * nothing on other systems than Linux.
 */
export function watchReader(fd: number, onGone: () => void): () => void {
  const libc = openLibc({ poll: { args: [pointer, u64, i32], returns: i32 } })
  if (libc === undefined) return () => {}
  // struct pollfd { int fd; short events; short revents }
  const entry = Buffer.alloc(8)
  entry.writeInt32LE(fd, 0)
  const timer = setInterval(() => {
    libc.poll(entry, 1, 0)
    if ((entry.readInt16LE(6) & GONE) !== 0) onGone()
  }, PERIOD_MS)
  return () => clearInterval(timer)
}
