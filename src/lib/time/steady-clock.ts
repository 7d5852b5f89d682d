import type { Clock } from './clock.ts'

/**
 * Time for ages and expiry: follows the drift of the wall clock but not its jumps. Read it at least once a
 * minute: a gain or loss of JUMP_MS or more between two reads is a jump.
 */
export interface SteadyClock {
  /** Milliseconds since 1970, without the jumps of the wall clock. */
  now(): number
  /** Sum of all jumps at the last `now()`, milliseconds; negative: the wall clock is behind. */
  readonly jumped: number
}

interface SteadyClockOptions {
  /** Called once for each jump of the wall clock, with its milliseconds. */
  readonly onJump?: (ms: number) => void
  /** Sum of earlier jumps, milliseconds. */
  readonly jumped?: number
}

/** Lower limit of a jump; steps of a time service that corrects drift stay below. */
const JUMP_MS = 1_000
/** A read within this time after a full read uses only the wall clock. */
const FRESH_MS = 500

export function createSteadyClock(
  clock: Clock,
  { onJump = () => {}, jumped: before = 0 }: SteadyClockOptions = {},
): SteadyClock {
  let jumped = before
  let distance = clock.now() - clock.monotonic()
  /** Wall clock at the last full read. */
  let lastWall = Number.NEGATIVE_INFINITY

  const gapOf = (wall: number): number => Math.round(wall - clock.monotonic() - distance)

  const readFully = (): number => {
    let wall = clock.now()
    let gap = gapOf(wall)
    // Read again: a process stopped between two readings has seen no jump.
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
