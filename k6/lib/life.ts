import { type Profile, totalSeconds } from './profiles.ts'

/**
 * `talking` subscribes and sends Ping. `resuming` also disconnects and reconnects with its cursor. `silent` is a client
 * without a cursor that never sends a message.
 */
export type Role = 'talking' | 'resuming' | 'silent'

/** Schedule of a client, in milliseconds from the start of the scenario. */
export interface Life {
  readonly role: Role
  readonly connectAt: number
  readonly leaveAt: number
  /** Only for a client that resumes. */
  readonly resumeAt?: number
  /** Phase from 0 to 1, so that clients do not all send at once. */
  readonly phase: number
}

const ROLES: readonly Role[] = ['resuming', 'silent', 'talking', 'talking', 'talking']
const GOLDEN = 0.618_033_988_749_895

/** Schedule of one client of a profile, by its number from 0. */
export function lifeOf(index: number, profile: Profile): Life {
  const { connections, rampUpSeconds, holdSeconds, rampDownSeconds } = profile
  const role = ROLES[index % ROLES.length] ?? 'talking'
  const part = index / connections
  const phase = (index * GOLDEN) % 1
  // Disconnect in the middle three fifths of the hold.
  const resumeAt = (rampUpSeconds + holdSeconds * (0.2 + 0.6 * phase)) * 1000
  return {
    role,
    connectAt: rampUpSeconds * part * 1000,
    leaveAt: (totalSeconds(profile) - rampDownSeconds * (1 - part)) * 1000,
    phase,
    ...(role === 'resuming' && { resumeAt }),
  }
}
