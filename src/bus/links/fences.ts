import { Deque } from '../../lib/collections/deque.ts'

/** The two ways of a message between workers. */
export type Way = 'redis' | 'link'

/**
 * Keeps the messages of a worker in order when it changes its way. It says `left` on the old way and `took` on the new one, both
 * with the number of the change. What follows `took` waits here until `left` has arrived.
 */
export interface Fences {
  /** There is a link to this worker now. */
  meet(origin: string): void
  /** Something arrived from this worker; for Redis the origin of a message is unknown, and empty. */
  arrive(way: Way, origin: string, use: () => void): void
  left(way: Way, origin: string, change: number): void
  took(way: Way, origin: string, change: number): void
  /** The link to this worker has ended: nothing of it is late any more. */
  forget(origin: string): void
  /** A tenth of a second has passed. Ends what waits for too long: the `left` is lost. */
  tick(): void
}

/** Half a second: as long as a call waits for answers. */
const MAX_TICKS = 5

/** One way on which something waits. */
interface Stream {
  readonly held: Deque<() => void>
  /** The `left` that it waits for, by origin. */
  readonly awaited: Map<string, { readonly change: number; ticks: number }>
}

const newStream = (): Stream => ({ held: new Deque(), awaited: new Map() })
const other = (way: Way): Way => (way === 'redis' ? 'link' : 'redis')

export function createFences(): Fences {
  /** All messages through Redis arrive over one connection. */
  const redis = newStream()
  const links = new Map<string, Stream>()
  /** Number of the last change for which an origin left the way. */
  const lastLeft: Record<Way, Map<string, number>> = { redis: new Map(), link: new Map() }

  const streamOf = (way: Way, origin: string): Stream | undefined =>
    way === 'redis' ? redis : links.get(origin)

  const release = ({ held, awaited }: Stream): void => {
    while (awaited.size === 0) {
      const use = held.shift()
      if (use === undefined) return
      use()
    }
  }

  /** The origin, or nothing more of it, is awaited by the stream. */
  const found = (stream: Stream, origin: string): void => {
    if (stream.awaited.delete(origin)) release(stream)
  }

  const arrive: Fences['arrive'] = (way, origin, use) => {
    const stream = streamOf(way, origin)
    if (stream === undefined || stream.awaited.size === 0) use()
    else stream.held.insert(stream.held.length, use)
  }

  return {
    meet: origin => {
      if (!links.has(origin)) links.set(origin, newStream())
    },
    arrive,
    left: (way, origin, change) =>
      arrive(way, origin, () => {
        if (!links.has(origin)) return
        lastLeft[way].set(origin, change)
        const stream = streamOf(other(way), origin)
        const awaited = stream?.awaited.get(origin)
        if (stream !== undefined && awaited !== undefined && awaited.change <= change) found(stream, origin)
      }),
    took: (way, origin, change) =>
      arrive(way, origin, () => {
        // All messages of a worker without a link arrive through Redis.
        if (!links.has(origin) || (lastLeft[other(way)].get(origin) ?? 0) >= change) return
        streamOf(way, origin)?.awaited.set(origin, { change, ticks: 0 })
      }),
    forget: origin => {
      const stream = links.get(origin)
      links.delete(origin)
      lastLeft.redis.delete(origin)
      lastLeft.link.delete(origin)
      found(redis, origin)
      if (stream !== undefined) found(stream, origin)
    },
    tick: () => {
      for (const stream of [redis, ...links.values()])
        for (const [origin, wait] of stream.awaited) if (++wait.ticks >= MAX_TICKS) found(stream, origin)
    },
  }
}
