import { Deque } from '../lib/collections/deque.ts'
import { FairQueue } from '../lib/collections/fair-queue.ts'
import type { Page } from '../store/store.ts'

/** Bounds the work of all replays in one turn of the event loop. */
export interface ReplayPace {
  /** Runs `work`, which reads and writes one page. Tenants take turns. */
  run<T>(tenant: string, work: () => Promise<T>): Promise<T>
  /** Waits before a page is written; undefined if it may be written at once. */
  write(page: Page): Promise<void> | undefined
}

/** Maximum pages in memory. */
const MAX_PAGES = 64
/** Maximum entries written in one turn. Every BYTES_PER_ENTRY bytes count as one more. */
const ENTRIES_PER_TURN = 1_000
const BYTES_PER_ENTRY = 512

const costOf = ({ entries }: Page): number =>
  entries.reduce((sum, { body }) => sum + 1 + body.length / BYTES_PER_ENTRY, 0)

export function createReplayPace(): ReplayPace {
  const entering = new FairQueue<() => void>()
  const writing = new Deque<{ readonly cost: number; readonly start: () => void }>()
  let pages = 0
  /** Entries written in this turn. */
  let spent = 0
  let isTurnAwaited = false

  const awaitTurn = (): void => {
    if (isTurnAwaited) return
    isTurnAwaited = true
    setImmediate(() => {
      isTurnAwaited = false
      spent = 0
      while (spent < ENTRIES_PER_TURN) {
        const next = writing.shift()
        if (next === undefined) return
        spend(next.cost)
        next.start()
      }
    })
  }

  const spend = (cost: number): void => {
    spent += cost
    awaitTurn()
  }

  const leave = (): void => {
    const next = entering.shift()
    if (next === undefined) pages--
    else next()
  }

  return {
    run: async (tenant, work) => {
      if (pages < MAX_PAGES) pages++
      else await new Promise<void>(resolve => entering.push(tenant, resolve))
      try {
        return await work()
      } finally {
        leave()
      }
    },
    write: page => {
      const cost = costOf(page)
      if (spent < ENTRIES_PER_TURN && writing.length === 0) {
        spend(cost)
        return undefined
      }
      awaitTurn()
      return new Promise(start => writing.insert(writing.length, { cost, start }))
    },
  }
}
