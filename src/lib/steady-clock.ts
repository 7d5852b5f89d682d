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

export function createSteadyClock(
  clock: Clock,
  { onJump = () => {}, jumped: before = 0 }: SteadyClockOptions = {},
): SteadyClock {
  let jumped = before
  let distance = clock.now() - clock.monotonic()

  const read = (): number => {
    const wall = clock.now()
    const gap = Math.round(wall - clock.monotonic() - distance)
    if (Math.abs(gap) < JUMP_MS) {
      distance += gap
      return wall
    }
    return takeJump()
  }

  /** Reads again: a process that was stopped between its two readings has seen no jump. */
  const takeJump = (): number => {
    const wall = clock.now()
    const gap = Math.round(wall - clock.monotonic() - distance)
    distance += gap
    if (Math.abs(gap) < JUMP_MS) return wall
    jumped += gap
    onJump(gap)
    return wall
  }

  return {
    now: () => {
      const wall = read()
      return wall - jumped
    },
    get jumped() {
      return jumped
    },
  }
}
