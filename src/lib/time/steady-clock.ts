import type { Clock } from './clock.ts'

/**
 * Time for ages and ends: goes with the wall clock through its drift, and not through its jumps. Read it at least once a
 * minute: what the wall clock gains or loses between two reads from JUMP_MS on is a jump.
 */
export interface SteadyClock {
  /** Milliseconds since 1970, as the wall clock would tell had it never jumped. */
  now(): number
  /** How far jumps had put the wall clock ahead at the last `now()`, milliseconds; negative: behind. */
  readonly jumped: number
}

interface SteadyClockOptions {
  /** The wall clock has jumped by so many milliseconds; told once for each jump. */
  readonly onJump?: (ms: number) => void
  /** Jumps before this clock began, milliseconds. */
  readonly jumped?: number
}

/** Steps that a time service takes to correct drift stay below. */
const JUMP_MS = 1_000
/** A read so soon after the last full one needs only the wall clock: no jump fits in between. */
const FRESH_MS = 500

export function createSteadyClock(
  clock: Clock,
  { onJump = () => {}, jumped: before = 0 }: SteadyClockOptions = {},
): SteadyClock {
  let jumped = before
  let distance = clock.now() - clock.monotonic()
  /** What the wall clock told at the last full read. */
  let lastWall = Number.NEGATIVE_INFINITY

  const gapOf = (wall: number): number => Math.round(wall - clock.monotonic() - distance)

  const readFully = (): number => {
    let wall = clock.now()
    let gap = gapOf(wall)
    // Read again: a process that was stopped between its two readings has seen no jump.
    if (Math.abs(gap) >= JUMP_MS) {
      wall = clock.now()
      gap = gapOf(wall)
    }
    distance += gap
    lastWall = wall
    if (Math.abs(gap) >= JUMP_MS) {
      jumped += gap
      onJump(gap)
    }
    return wall
  }

  return {
    now: () => {
      const wall = clock.now()
      return (wall >= lastWall && wall < lastWall + FRESH_MS ? wall : readFully()) - jumped
    },
    get jumped() {
      return jumped
    },
  }
}
