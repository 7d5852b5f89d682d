/** Time as known when the file is opened, on the store's clock unless noted otherwise. */
export interface KnownTime {
  /** How far the wall clock was ahead of the store's clock, because of jumps, milliseconds. */
  readonly jumped: number
  /** The last time that the file proves, milliseconds since 1970; 0 for none. */
  readonly seenAt: number
  /** The wall clock minus the machine's uptime. Undefined after a restart of the machine, or without an uptime. */
  readonly ahead: number | undefined
}

interface CurrentTime {
  /** Wall clock, milliseconds since 1970. */
  readonly wall: number
  /** Milliseconds since the machine started. */
  readonly uptime: number | undefined
}

/** Setting with which the store's clock continues. */
interface ResumedClock {
  readonly jumped: number
  readonly warning?: string
}

/** Allowed drift between two clocks of a machine: a constant, plus a share of the time passed. */
const DRIFT_MS = 1_000
const DRIFT = 0.000_5
/** Pauses from this length on are reported: the service may have been down, or the clock set. */
const LONG_MS = 3_600_000

const seconds = (ms: number): string => `${Math.round(Math.abs(ms) / 1_000)} s`

/**
 * Continues the store's clock. While the machine runs, its uptime tells a jump of the clock from a pause. After a restart,
 * a clock behind the file was set back. A clock ahead of it counts as a pause: entries age by it.
 */
export function resumeClock(
  { jumped, seenAt, ahead }: KnownTime,
  { wall, uptime }: CurrentTime,
): ResumedClock {
  if (seenAt === 0) return { jumped }
  const gap = wall - jumped - seenAt
  if (ahead !== undefined && uptime !== undefined) {
    const jump = Math.round(wall - uptime - ahead)
    if (Math.abs(jump) < DRIFT_MS + Math.abs(gap - jump) * DRIFT) return { jumped }
    const where = jump > 0 ? 'forward' : 'back'
    return {
      jumped: jumped + jump,
      warning: `the clock was set ${where} by ${seconds(jump)} while the store was closed; entries do not age by it`,
    }
  }
  if (gap < -DRIFT_MS)
    return {
      jumped: jumped + gap,
      warning: `the clock is ${seconds(gap)} behind the last write; entries continue to age from that write`,
    }
  if (gap < LONG_MS) return { jumped }
  return {
    jumped,
    warning: `the clock is ${seconds(gap)} ahead of the last write; entries have aged by that time, even if the clock was set`,
  }
}
