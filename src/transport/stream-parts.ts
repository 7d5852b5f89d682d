import type { Server } from 'bun'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Sessions } from './session.ts'

/** Parts that all streams share: a field of each would cost 8 bytes. */
export interface SharedParts {
  readonly sendBufferBytes: number
  readonly buffers: Pick<SendBuffers, 'grew'>
  readonly turns: Turns
  readonly texts: Texts
  readonly end: Sessions['ended']
  /** Idle time-out of a socket after the end of its stream. */
  readonly keepAliveSeconds: number
}

/** Sets the idle time-out of a request's socket in seconds; 0: none. */
export type Timeouts = Pick<Server<unknown>, 'timeout'>

interface Flushed {
  flush(): void
  gone(): void
}

/** Flushes each stream once per turn: one joined string is far cheaper than many chunks. */
interface Turns {
  add(stream: Flushed): void
}

export function createTurns(onFault: OnFault): Turns {
  let dirty: Flushed[] = []
  const flush = (): void => {
    const streams = dirty
    dirty = []
    for (const stream of streams) {
      try {
        stream.flush()
      } catch (error) {
        onFault(error)
        stream.gone()
      }
    }
  }
  return {
    add: stream => {
      if (dirty.length === 0) setImmediate(flush)
      dirty.push(stream)
    },
  }
}

/** Joins texts. Streams of one room get the same texts in a turn: one joined string serves all. */
interface Texts {
  join(before: string, added: string): string
}

export function createTexts(): Texts {
  let last = { before: '', added: '', joined: '' }
  return {
    join: (before, added) => {
      if (before === '') return added
      if (before !== last.before || added !== last.added) last = { before, added, joined: before + added }
      return last.joined
    },
  }
}
