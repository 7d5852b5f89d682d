/** What the file knows of time when it is opened. All on the store's clock, unless it says otherwise. */
export interface KnownTime {
  /** How far jumps had put the wall clock ahead of the store's, milliseconds. */
  readonly jumped: number
  /** The last moment that the store knows, milliseconds since 1970; 0 for none. */
  readonly seenAt: number
  /** The wall clock less the machine's uptime; undefined when the machine has started since, or does not tell. */
  readonly ahead: number | undefined
}

interface CurrentTime {
  /** Wall clock, milliseconds since 1970. */
  readonly wall: number
  /** Milliseconds since the machine started. */
  readonly uptime: number | undefined
}

/** Where the store's clock goes on. */
interface ResumedClock {
  readonly jumped: number
  readonly warning?: string
}

/** What two clocks of a machine may drift apart: a moment, and so much of the time that passed. */
const DRIFT_MS = 1_000
const DRIFT = 0.000_5
/** A pause that is told: nobody knows whether the service was down or its clock was set. */
const LONG_MS = 3_600_000

const seconds = (ms: number): string => `${Math.round(Math.abs(ms) / 1_000)} s`

/**
 * On a machine that has not started since, its uptime tells a jump from a pause. Else a clock that is behind the file was
 * set back, and one that is ahead counts as a pause: entries age by it.
 */
export function resume({ jumped, seenAt, ahead }: KnownTime, { wall, uptime }: CurrentTime): ResumedClock {
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
      warning: `the clock is ${seconds(gap)} behind the last write; entries age from there`,
    }
  if (gap < LONG_MS) return { jumped }
  return {
    jumped,
    warning: `the clock is ${seconds(gap)} ahead of the last write; entries have aged by that, also if the clock was set`,
  }
}
