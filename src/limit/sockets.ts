import { type AddressRange, matcherOf, parseAddress } from '../lib/system/address.ts'
import { countDescriptors, descriptorLimit, listDescriptors } from '../lib/system/descriptors.ts'
import { findListenSocket, type ListenSocket } from '../lib/system/listen-socket.ts'
import { type SilentSockets, silentSocketsOf } from '../lib/system/silent-sockets.ts'

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
  /** Proxies: their silent sockets stay. */
  readonly trusted: readonly AddressRange[]
  readonly onTurnedAway: (count: number, state: SocketState) => void
  readonly onFull: (state: SocketState) => void
}

const SPARE_DESCRIPTORS = 100
const LOOK_MS = 50
/** Lists descriptors once a second on systems that cannot count them. */
const LOOKS_PER_LISTING = 20
/** Connections closed per check, so that a flood does not block the event loop. */
const MAX_TURNED_AWAY = 256

/** Time between two searches for silent sockets, and descriptors per turn of a search. */
const SEARCH_MS = 2_000
const SEARCHED_AT_ONCE = 1_000
/** Descriptors may be numbered beyond the number of open ones. */
const UNUSED_NUMBERS = 1_000

/** Sockets that the runtime accepts at most between two checks: a whole backlog, and what connects meanwhile. */
const ACCEPTED_BETWEEN_LOOKS = 8_192

const defaultMax = (): number =>
  Math.max(1, (descriptorLimit() ?? Number.POSITIVE_INFINITY) - SPARE_DESCRIPTORS)

export function createSockets({
  max = defaultMax(),
  trusted,
  onTurnedAway,
  onFull,
}: SocketsOptions): Sockets {
  const isTrusted = matcherOf(trusted)
  /** Descriptors that were open before the first client connected. */
  let others = countDescriptors()
  let open = 0
  let isFull = false
  let looks = 0
  let listener: ListenSocket | undefined
  let silent: SilentSockets | undefined
  let searchedAt = Number.NEGATIVE_INFINITY

  const stateNow = (): SocketState => ({ open, max, isFull })

  const count = (descriptors: number): void => {
    if (descriptors > 0) open = Math.max(0, descriptors - others - (listener?.reserved ?? 0))
  }

  const turnAway = (): void => {
    const turned = listener?.turnAway(MAX_TURNED_AWAY) ?? 0
    if (turned > 0) onTurnedAway(turned, stateNow())
  }

  const findSilent = async (sockets: SilentSockets): Promise<ReadonlyMap<string, readonly number[]>> => {
    const found = new Map<string, number[]>()
    const end = max + others + UNUSED_NUMBERS
    for (let descriptor = 0; descriptor < end; descriptor++) {
      const address = sockets.addressOf(descriptor)
      if (address !== undefined) {
        const descriptors = found.get(address) ?? []
        descriptors.push(descriptor)
        found.set(address, descriptors)
      }
      if (descriptor % SEARCHED_AT_ONCE === 0) await new Promise(setImmediate)
    }
    return found
  }

  /** Ends the silent sockets of the address that holds most of them, so that it keeps nobody else out. */
  const endSilent = async (sockets: SilentSockets): Promise<void> => {
    const found = [...(await findSilent(sockets))].filter(([address]) => {
      const parsed = parseAddress(address)
      return parsed !== undefined && !isTrusted(parsed)
    })
    const [most] = found.toSorted(([, a], [, b]) => b.length - a.length)
    if (most === undefined) return
    const [address, descriptors] = most
    // A number may stand for another socket by now.
    const ended = descriptors.filter(descriptor => sockets.addressOf(descriptor) === address)
    for (const descriptor of ended) sockets.end(descriptor)
    onTurnedAway(ended.length, stateNow())
  }

  const settle = (): void => {
    if (isFull) turnAway()
    if (isFull && silent !== undefined && performance.now() - searchedAt >= SEARCH_MS) {
      searchedAt = performance.now()
      void endSilent(silent)
    }
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
      // The count is a system call: far below the limit the last one is good enough.
      if (open + ACCEPTED_BETWEEN_LOOKS > max) count(countDescriptors())
      return open <= max
    },
    guard: port => {
      listener = findListenSocket(port)
      silent = silentSocketsOf(port)
      others = countDescriptors() - (listener?.reserved ?? 0)
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      listener?.[Symbol.dispose]()
    },
  }
}
