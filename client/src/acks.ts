import type { Clock } from './types.ts'

export interface AckOptions {
  readonly clock: Clock
  readonly isOnline: () => boolean
  readonly send: (ids: readonly string[]) => void
}

/** Gathers acknowledgements: the service limits messages. It asks again for those that are lost. */
export interface Acks {
  add(id: string): void
  /** Sends what waits, without the pause. Offline it stops, until the next call. */
  flush(): void
}

const PAUSE_MS = 250
const MAX_AT_ONCE = 1_000

export function createAcks({ clock, isOnline, send }: AckOptions): Acks {
  const waiting: string[] = []
  let timer: unknown

  const flush = () => {
    clock.clearTimeout(timer)
    timer = undefined
    if (!isOnline() || !waiting[0]) return
    send(waiting.splice(0, MAX_AT_ONCE))
    timer = clock.setTimeout(flush, PAUSE_MS)
  }

  return {
    add: id => {
      waiting.push(id)
      if (!timer) flush()
    },
    flush,
  }
}
