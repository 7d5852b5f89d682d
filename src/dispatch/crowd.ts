import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import { SHARD_SIZE, type Shard } from '../hub/room.ts'
import type { Accept } from '../notification/audience.ts'
import type { Frame } from '../notification/frame.ts'
import type { Topic } from '../notification/topic.ts'

/** Connections that took a frame, and that refused it. */
export interface Handed {
  readonly delivered: number
  readonly failed: number
}

/** The runtime's own publish: text to every socket that listens to `name`; above 0 when all took it. */
export type Publish = (name: string, text: string) => number

/** Sends to whoever is there; order of calls is the order on every socket. */
export interface Crowd {
  send(topics: readonly Topic[], frame: Frame, how?: CrowdSend): Promise<Handed>
}

interface CrowdSend {
  readonly accept?: Accept | undefined
  /** Told of connections right before they are written to. */
  readonly before?: ((connections: Iterable<Connection>) => void) | undefined
  /** Told how many have just been handed it, piece by piece. */
  readonly after?: ((connections: number) => void) | undefined
}

interface CrowdOptions {
  readonly hub: Hub
  readonly publish: Publish
  readonly sendBufferBytes: number
  readonly coalesceMs: number
}

/** One piece of a send, small enough for one turn of the event loop. */
interface Job {
  readonly cost: number
  run(): Handed | Promise<Handed>
  done(handed: Handed): void
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
const total = (pieces: readonly Handed[]): Handed => ({
  delivered: pieces.reduce((sum, each) => sum + each.delivered, 0),
  failed: pieces.reduce((sum, each) => sum + each.failed, 0),
})

/** Writes to one; whoever refuses is cut, since it would have a hole. */
function hand(connection: Connection, frame: Frame): boolean {
  if (connection.hasEnded()) return false
  if (connection.write(frame) !== 'refused') return true
  connection.cut()
  return false
}

function handEach(connections: Iterable<Connection>, frame: Frame): Handed {
  let delivered = 0
  let failed = 0
  for (const connection of connections) {
    if (hand(connection, frame)) delivered++
    else failed++
  }
  return { delivered, failed }
}

const chunksOf = (connections: readonly Connection[]): readonly (readonly Connection[])[] =>
  Array.from({ length: Math.ceil(connections.length / SHARD_SIZE) }, (_, n) =>
    connections.slice(n * SHARD_SIZE, (n + 1) * SHARD_SIZE),
  )

export function createCrowd({ hub, publish, sendBufferBytes, coalesceMs }: CrowdOptions): Crowd {
  const queue: Job[] = []
  let waiting = false

  /** What the runtime could not hand over shows once it has flushed: at the next turn. */
  const sweep = async (members: readonly Connection[]): Promise<number> => {
    await turn()
    let refused = 0
    for (const connection of members) {
      if (!connection.hasEnded() && connection.buffered() <= sendBufferBytes) continue
      refused++
      if (!connection.hasEnded()) connection.cut()
    }
    return refused
  }

  const publishTo = (shard: Shard, frame: Frame, before: CrowdSend['before']): Handed | Promise<Handed> => {
    before?.(shard.sockets)
    before?.(shard.streams)
    const streams = handEach(shard.streams, frame)
    const { size } = shard.sockets
    if (size === 0 || publish(shard.name, frame.json) > 0)
      return total([{ delivered: size, failed: 0 }, streams])
    return sweep([...shard.sockets]).then(failed => total([{ delivered: size - failed, failed }, streams]))
  }

  const run = (job: Job): void => {
    const handed = job.run()
    if (handed instanceof Promise) void handed.then(job.done)
    else job.done(handed)
  }

  /** At most SHARD_SIZE sockets a turn, in the order of the queue, so that a large room never stalls the loop. */
  const pump = (): void => {
    waiting = false
    let budget = SHARD_SIZE
    let next = 0
    for (
      let job = queue[next];
      job !== undefined && (budget === SHARD_SIZE || job.cost <= budget);
      job = queue[next]
    ) {
      budget -= Math.max(job.cost, 1)
      next++
      run(job)
    }
    queue.splice(0, next)
    if (queue.length > 0) wait(() => setImmediate(pump))
  }

  const wait = (schedule: () => void): void => {
    if (waiting) return
    waiting = true
    schedule()
  }

  const enqueue = (cost: number, work: Job['run'], after: CrowdSend['after']): Promise<Handed> => {
    const { promise, resolve } = Promise.withResolvers<Handed>()
    const done = (handed: Handed): void => {
      after?.(handed.delivered)
      resolve(handed)
    }
    queue.push({ cost, run: work, done })
    return promise
  }

  const union = (
    topics: readonly Topic[],
    isMeant: (connection: Connection) => boolean,
  ): readonly Connection[] => {
    const found = new Set<Connection>()
    for (const topic of topics)
      for (const { sockets, streams } of hub.room(topic)?.shards ?? [])
        for (const members of [sockets, streams])
          for (const each of members) if (isMeant(each)) found.add(each)
    return [...found]
  }

  const piecesOf = (
    topics: readonly Topic[],
    frame: Frame,
    { accept, before, after }: CrowdSend,
  ): Promise<Handed>[] => {
    const [only, ...others] = topics
    if (only === undefined) return []
    if (others.length === 0 && accept === undefined)
      return (hub.room(only)?.shards ?? []).map(shard =>
        enqueue(shard.size, () => publishTo(shard, frame, before), after),
      )
    // Asked again at its turn: whoever has left meanwhile must get nothing more.
    const isMeant = (connection: Connection): boolean => {
      const isIn = (topic: Topic): boolean => hub.isIn(connection, topic)
      return topics.some(isIn) && (accept === undefined || accept(connection.principal, isIn))
    }
    return chunksOf(union(topics, isMeant)).map(chunk =>
      enqueue(
        chunk.length,
        () => {
          const meant = chunk.filter(isMeant)
          before?.(meant)
          return handEach(meant, frame)
        },
        after,
      ),
    )
  }

  return {
    send: async (topics, frame, how = {}) => {
      const pieces = piecesOf(topics, frame, how)
      if (coalesceMs > 0) wait(() => setTimeout(pump, coalesceMs))
      else if (!waiting) pump()
      return total(await Promise.all(pieces))
    },
  }
}
