import { countDescriptors, descriptorLimit, listDescriptors } from '../lib/system/descriptors.ts'
import { findListenSocket, type ListenSocket } from '../lib/system/listen-socket.ts'

export interface SocketState {
  readonly open: number
  readonly max: number
  readonly isFull: boolean
}

/** Keeps sockets below MAX_SOCKETS, and descriptors free for files. */
export interface Sockets extends Disposable {
  readonly state: SocketState
  /** Whether one more connection may stay; false for one that came in before the listener could be paused. */
  admits(): boolean
  /** Turns connections to this port away while there are too many. */
  guard(port: number): void
}

interface SocketsOptions {
  /** Undefined: as many as the limit of descriptors leaves. */
  readonly max: number | undefined
  readonly onTurnedAway: (count: number, state: SocketState) => void
  readonly onFull: (state: SocketState) => void
}

const SPARE_DESCRIPTORS = 100
const LOOK_MS = 50
/** Where descriptors have to be listed to be counted: once a second. */
const LOOKS_PER_LISTING = 20
/** Of one look, so that a flood does not take the loop. */
const MAX_TURNED_AWAY = 256

const defaultMax = (): number =>
  Math.max(1, (descriptorLimit() ?? Number.POSITIVE_INFINITY) - SPARE_DESCRIPTORS)

export function createSockets({ max = defaultMax(), onTurnedAway, onFull }: SocketsOptions): Sockets {
  /** Files, pipes and what else was open before the first client came. */
  let others = countDescriptors()
  let open = 0
  let isFull = false
  let looks = 0
  let listener: ListenSocket | undefined

  const stateNow = (): SocketState => ({ open, max, isFull })

  const count = (descriptors: number): void => {
    if (descriptors > 0) open = Math.max(0, descriptors - others - (listener?.reserved ?? 0))
  }

  const turnAway = (): void => {
    const turned = listener?.turnAway(MAX_TURNED_AWAY) ?? 0
    if (turned > 0) onTurnedAway(turned, stateNow())
  }

  const settle = (): void => {
    if (isFull) turnAway()
    const isNowFull = open >= max
    if (isNowFull === isFull) return
    isFull = isNowFull
    if (isFull) listener?.pause()
    else listener?.resume()
    onFull(stateNow())
  }

  const look = async (): Promise<void> => {
    looks++
    const known = countDescriptors()
    if (known === 0 && looks % LOOKS_PER_LISTING !== 0) return
    count(known || (await listDescriptors()))
    settle()
  }

  const timer = setInterval(() => void look(), LOOK_MS)

  return {
    get state() {
      return stateNow()
    },
    admits: () => {
      count(countDescriptors())
      return open <= max
    },
    guard: port => {
      listener = findListenSocket(port)
      others = countDescriptors() - (listener?.reserved ?? 0)
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      listener?.[Symbol.dispose]()
    },
  }
}
