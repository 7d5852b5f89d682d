import { type Profile, plannedRequests } from './profiles.ts'

/** Thresholds in k6's form: metric name → conditions. */
type Thresholds = Record<string, string[]>

/** Share of the planned load that must be sent for a valid run. */
const LEAST_PART = 0.95

/** Requires samples: k6 passes rates and trends without any. */
const judged = (thresholds: Thresholds): Thresholds => ({
  ...thresholds,
  ...Object.fromEntries(Object.keys(thresholds).map(name => [samplesOf(name), ['count>0']])),
})

/** Names the counter beside a rate or trend. */
export const samplesOf = (name: string): string => `${name}_samples`

const clients = (latency: string[], { connections }: Profile): Thresholds => ({
  ...judged({
    connect_success: ['rate>0.95'],
    message_latency: latency,
    send_success: ['rate>0.99'],
    resume_success: ['rate==1'],
    reply_success: ['rate>0.99'],
  }),
  // Has no samples unless a user closed the ledger, which is counted.
  lost: ['count==0'],
  repeated: ['count==0'],
  out_of_order: ['count==0'],
  disconnected: ['count==0'],
  replayed: ['count>0'],
  users_settled: [`count>=${connections}`],
})

/** Thresholds for the load itself: it matched the profile. */
const atLeast = (profile: Profile): string[] => [
  `count>=${Math.floor(plannedRequests(profile) * LEAST_PART)}`,
]

const requests = (success: string, duration: string[], profile: Profile): Thresholds => ({
  request_success: [success],
  // Recorded with each success or failure: it has the same samples.
  request_duration: duration,
  request_success_samples: atLeast(profile),
})

/** Conditions for a scenario to pass. */
export const THRESHOLDS = {
  websocket: (profile: Profile): Thresholds => ({
    ...clients(['p(95)<100', 'p(99)<500'], profile),
    channel_messages: ['count>0'],
  }),
  http: (profile: Profile): Thresholds => requests('rate>0.99', ['p(95)<50', 'p(99)<100'], profile),
  batch: (profile: Profile): Thresholds => requests('rate>0.98', ['p(95)<200', 'p(99)<500'], profile),
  e2e: (profile: Profile): Thresholds => ({
    ...clients(['p(95)<200', 'p(99)<500'], profile),
    send_success_samples: atLeast(profile),
  }),
}

export type Scenario = keyof typeof THRESHOLDS
