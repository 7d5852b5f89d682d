import { countDescriptors, descriptorLimit, listDescriptors } from '../lib/system/descriptors.ts'
import { findListenSocket, type ListenSocket } from '../lib/system/listen-socket.ts'

export interface SocketState {
  readonly open: number
  readonly max: number
  readonly isFull: boolean
}

/** Keeps sockets below MAX_SOCKETS, so that descriptors stay free for files. */
export interface Sockets extends Disposable {
  readonly state: SocketState
  /** False for a connection that was accepted before the listener paused. */
  admits(): boolean
  /** Closes new connections to this port while there are too many. */
  guard(port: number): void
}

interface SocketsOptions {
  /** Undefined: the limit of descriptors minus a reserve. */
  readonly max: number | undefined
  readonly onTurnedAway: (count: number, state: SocketState) => void
  readonly onFull: (state: SocketState) => void
}

const SPARE_DESCRIPTORS = 100
const LOOK_MS = 50
/** Lists descriptors once a second on systems that cannot count them. */
const LOOKS_PER_LISTING = 20
/** Connections closed per check, so that a flood does not block the event loop. */
const MAX_TURNED_AWAY = 256

const defaultMax = (): number =>
  Math.max(1, (descriptorLimit() ?? Number.POSITIVE_INFINITY) - SPARE_DESCRIPTORS)

export function createSockets({ max = defaultMax(), onTurnedAway, onFull }: SocketsOptions): Sockets {
  /** Descriptors that were open before the first client connected. */
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
