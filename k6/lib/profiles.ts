/** Size and duration of a load. */
export interface Profile {
  /** WebSocket clients, each with its own user. */
  readonly connections: number
  /** HTTP requests per second. */
  readonly requestsPerSecond: number
  readonly rampUpSeconds: number
  readonly holdSeconds: number
  readonly rampDownSeconds: number
}

const profile = (
  connections: number,
  requestsPerSecond: number,
  holdSeconds: number,
  rampUpSeconds: number,
  rampDownSeconds: number,
): Profile => ({ connections, requestsPerSecond, rampUpSeconds, holdSeconds, rampDownSeconds })

export const PROFILES = {
  smoke: profile(10, 10, 30, 10, 10),
  baseline: profile(100, 50, 120, 30, 30),
  medium: profile(500, 100, 180, 60, 30),
  high: profile(1_000, 200, 300, 60, 30),
  stress: profile(2_000, 500, 300, 120, 60),
  soak: profile(500, 50, 1_800, 120, 120),
  spike: profile(100, 1_000, 60, 5, 30),
} as const satisfies Record<string, Profile>

/** Profile of `prove.ts`: the least load with samples for every threshold. */
const PROOF = profile(10, 20, 6, 2, 1)

export type ProfileName = keyof typeof PROFILES

export const isProfile = (name: string): name is ProfileName => Object.hasOwn(PROFILES, name)

/** Finds a profile; undefined for an unknown name. */
export function profileOf(name: string): Profile | undefined {
  if (name === 'proof') return PROOF
  return isProfile(name) ? PROFILES[name] : undefined
}

export const totalSeconds = ({ rampUpSeconds, holdSeconds, rampDownSeconds }: Profile): number =>
  rampUpSeconds + holdSeconds + rampDownSeconds

/** Requests of a whole run; both ramps are linear, from and to 0. */
export const plannedRequests = (profile: Profile): number =>
  profile.requestsPerSecond * (profile.rampUpSeconds / 2 + profile.holdSeconds + profile.rampDownSeconds / 2)
