import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import { SHARD_SIZE, type Shard } from '../hub/room.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Accept } from '../notification/audience.ts'
import type { Frame } from '../notification/frame.ts'
import { type Topic, tenantOf } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import { createCrowdQueue } from './crowd-queue.ts'
import type { WriteCount } from './reach.ts'

/** The runtime's own publish to all sockets that listen to `name`. Above 0: all took it. */
export type Publish = (name: string, text: string) => number

/** Writes to the connections of topics. The order of calls is the order on every socket. */
export interface Crowd {
  send(topics: readonly Topic[], frame: Frame, how?: CrowdSend): Promise<WriteCount>
}

interface CrowdSend {
  readonly accept?: Accept | undefined
  /** Called with connections right before the write to them. */
  readonly before?: ((connections: Iterable<Connection>) => void) | undefined
  /** Called after each piece, with its connections. */
  readonly after?: ((written: WriteCount) => void) | undefined
}

interface CrowdOptions {
  readonly hub: Hub
  readonly publish: Publish
  readonly sendBufferBytes: number
  readonly coalesceMs: number
  readonly buffers: Pick<SendBuffers, 'grew'>
  readonly onFault: OnFault
}

/** One piece of a send, small enough for one turn of the event loop. */
interface Piece {
  readonly size: number
  /** Set for a native publish. */
  readonly shard?: Shard
  run(): WriteCount | Promise<WriteCount>
}

/** A queued piece, and its result. */
interface Job extends Piece {
  readonly written: Promise<WriteCount>
  done(written: WriteCount): void
  failed(error: unknown): void
}

function jobOf(piece: Piece, after: CrowdSend['after']): Job {
  const { promise: written, resolve, reject } = Promise.withResolvers<WriteCount>()
  const done = (result: WriteCount): void => {
    after?.(result)
    resolve(result)
  }
  return { ...piece, written, done, failed: reject }
}

/** Runs a piece. An exception ends it and rejects its send. */
function run(job: Job): void {
  try {
    const written = job.run()
    if (written instanceof Promise) written.then(job.done).catch(job.failed)
    else job.done(written)
  } catch (error) {
    job.failed(error)
  }
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
const total = (pieces: readonly WriteCount[]): WriteCount => ({
  delivered: pieces.reduce((sum, each) => sum + each.delivered, 0),
  failed: pieces.reduce((sum, each) => sum + each.failed, 0),
})

/** Writes the frame, and cuts a connection that refuses: it would have a gap. */
function hand(connection: Connection, frame: Frame): boolean {
  if (connection.hasEnded()) return false
  if (connection.write(frame) !== 'refused') return true
  connection.cut()
  return false
}

const chunksOf = (connections: readonly Connection[]): readonly (readonly Connection[])[] =>
  Array.from({ length: Math.ceil(connections.length / SHARD_SIZE) }, (_, n) =>
    connections.slice(n * SHARD_SIZE, (n + 1) * SHARD_SIZE),
  )

export function createCrowd(options: CrowdOptions): Crowd {
  const { hub, publish, sendBufferBytes, coalesceMs, buffers, onFault } = options
  /** Cuts a connection whose write throws; others are not affected. */
  const handSafely = (connection: Connection, frame: Frame): boolean => {
    try {
      return hand(connection, frame)
    } catch (error) {
      onFault(error)
      connection.cut()
      return false
    }
  }

  const handEach = (connections: Iterable<Connection>, frame: Frame): WriteCount => {
    let delivered = 0
    let failed = 0
    for (const connection of connections) {
      if (handSafely(connection, frame)) delivered++
      else failed++
    }
    return { delivered, failed }
  }

  const isBehind = (connection: Connection, bytes: number): boolean => {
    if (connection.hasEnded()) return true
    const waiting = connection.buffered()
    if (waiting > 0) buffers.grew(Math.min(waiting, bytes))
    if (waiting <= sendBufferBytes) return false
    connection.cut()
    return true
  }

  /** Counts sockets that fell behind. The runtime flushes at the end of the turn. */
  const sweep = async (members: readonly Connection[], bytes: number): Promise<number> => {
    await turn()
    return members.filter(connection => isBehind(connection, bytes)).length
  }

  const publishTo = (
    shard: Shard,
    frame: Frame,
    before: CrowdSend['before'],
  ): WriteCount | Promise<WriteCount> => {
    before?.(shard.sockets)
    before?.(shard.streams)
    const streams = handEach(shard.streams, frame)
    const { size } = shard.sockets
    if (size === 0 || publish(shard.name, frame.json) > 0)
      return total([{ delivered: size, failed: 0 }, streams])
    return sweep([...shard.sockets], Buffer.byteLength(frame.json)).then(failed =>
      total([{ delivered: size - failed, failed }, streams]),
    )
  }

  const queue = createCrowdQueue(run, coalesceMs)

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

  const toRoom = (room: Topic, frame: Frame, { before }: CrowdSend): readonly Piece[] =>
    (hub.room(room)?.shards ?? []).map(shard => ({
      size: shard.size,
      shard,
      run: () => publishTo(shard, frame, before),
    }))

  const toEach = (
    topics: readonly Topic[],
    frame: Frame,
    { accept, before }: CrowdSend,
  ): readonly Piece[] => {
    // Checked again at the write: a connection that has left MUST receive nothing.
    const isMeant = (connection: Connection): boolean => {
      const isIn = (topic: Topic): boolean => hub.isIn(connection, topic)
      return topics.some(isIn) && (accept === undefined || accept(connection.principal, isIn))
    }
    return chunksOf(union(topics, isMeant)).map(chunk => ({
      size: chunk.length,
      run: () => {
        const meant = chunk.filter(isMeant)
        before?.(meant)
        return handEach(meant, frame)
      },
    }))
  }

  return {
    send: async (topics, frame, how = {}) => {
      const [first, ...others] = topics
      if (first === undefined) return total([])
      const room = others.length === 0 && how.accept === undefined ? first : undefined
      const pieces = room === undefined ? toEach(topics, frame, how) : toRoom(room, frame, how)
      const jobs = pieces.map(piece => jobOf(piece, how.after))
      queue.add(tenantOf(first), room, jobs)
      return total(await Promise.all(jobs.map(({ written }) => written)))
    },
  }
}
