import { SHARD_SIZE, type Shard } from '../hub/room.ts'
import { FairQueue } from '../lib/collections/fair-queue.ts'
import type { Topic } from '../notification/topic.ts'

/** One piece of a send, small enough for one turn of the event loop. */
interface Piece {
  readonly size: number
  /** Set for a native publish. */
  readonly shard?: Shard | undefined
}

/** Runs the pieces of sends, in turns of the event loop. Pieces for one socket run in the order of their sends. */
export interface CrowdQueue<P extends Piece> {
  /** `room`: the pieces publish to the shards of that room, and to no other connection. */
  add(tenant: string, room: Topic | undefined, pieces: readonly P[]): void
}

/** Pieces that run in one turn: publishes to one shard, or a single other piece. */
interface Pile<P> {
  readonly tenant: string
  readonly size: number
  readonly shard: Shard | undefined
  readonly pieces: P[]
}

/** A tenant's latest sends, as long as all go to one room: a socket may be in several rooms. */
interface Series<P> {
  readonly room: Topic
  /** Piles that the next send to the room may join. */
  readonly piles: Map<Shard, Pile<P>>
}

/** Sockets written to in one turn of the event loop, for all sends. */
const TURN_BUDGET = SHARD_SIZE * 1.5
/** Cost of another publish to a shard in one turn: the runtime joins the writes. */
const REPEAT_COST = 1 / 32
/** Publishes that one turn has room for. */
const MAX_PILE = 1 + (TURN_BUDGET / SHARD_SIZE - 1) / REPEAT_COST

/**
 * Sends that wait for the same room are taken shard by shard: in a room of 10,000 sockets each of them would else make its
 * own system call per socket, which is nearly all of the cost.
 */
export function createCrowdQueue<P extends Piece>(
  run: (piece: P) => void,
  coalesceMs: number,
): CrowdQueue<P> {
  /** Takes tenants in turn. A socket belongs to one tenant, so its order stays. */
  const queue = new FairQueue<Pile<P>>()
  const latest = new Map<string, Series<P>>()
  let isPlanned = false
  let budget = TURN_BUDGET
  /** Shards of this turn. */
  const reached = new Set<Shard>()

  const seriesOf = (tenant: string, room: Topic | undefined): Series<P> | undefined => {
    const current = latest.get(tenant)
    if (room !== undefined && current?.room === room) return current
    latest.delete(tenant)
    if (room === undefined) return undefined
    const series = { room, piles: new Map() }
    latest.set(tenant, series)
    return series
  }

  const costOf = ({ size, shard, pieces }: Pile<P>): number => {
    const first = shard !== undefined && reached.has(shard) ? size * REPEAT_COST : size
    return Math.max(1, first + (pieces.length - 1) * size * REPEAT_COST)
  }

  /** Its turn has come: later sends must not join it. */
  const close = (pile: Pile<P>): void => {
    const series = latest.get(pile.tenant)
    if (series === undefined || pile.shard === undefined || series.piles.get(pile.shard) !== pile) return
    series.piles.delete(pile.shard)
    if (series.piles.size === 0) latest.delete(pile.tenant)
  }

  const pump = (): void => {
    for (let pile = queue.peek(); pile !== undefined; pile = queue.peek()) {
      const cost = costOf(pile)
      if (cost > budget && budget < TURN_BUDGET) break
      budget -= cost
      if (pile.shard !== undefined) reached.add(pile.shard)
      queue.shift()
      close(pile)
      for (const piece of pile.pieces) run(piece)
    }
    if (budget < TURN_BUDGET) plan(() => setImmediate(nextTurn))
  }

  const nextTurn = (): void => {
    isPlanned = false
    budget = TURN_BUDGET
    reached.clear()
    pump()
  }

  const plan = (schedule: () => void): void => {
    if (isPlanned) return
    isPlanned = true
    schedule()
  }

  return {
    add: (tenant, room, pieces) => {
      if (pieces.length === 0) return
      const series = seriesOf(tenant, room)
      for (const piece of pieces) {
        const { size, shard } = piece
        const open = shard && series?.piles.get(shard)
        if (open !== undefined && open.pieces.length < MAX_PILE) {
          open.pieces.push(piece)
          continue
        }
        const pile = { tenant, size, shard, pieces: [piece] }
        queue.push(tenant, pile)
        if (shard !== undefined) series?.piles.set(shard, pile)
      }
      if (coalesceMs > 0) plan(() => setTimeout(nextTurn, coalesceMs))
      else pump()
    },
  }
}
