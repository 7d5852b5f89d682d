import { type Profile, plannedRequests } from './profiles.ts'

/** k6's form: the name of a metric → what must hold. */
type Thresholds = Record<string, string[]>

/** Of what was planned so much must have been sent, or it was another load. */
const LEAST_PART = 0.95

/** k6 lets rates and trends without a sample pass. */
const judged = (thresholds: Thresholds): Thresholds => ({
  ...thresholds,
  ...Object.fromEntries(Object.keys(thresholds).map(name => [samplesOf(name), ['count>0']])),
})

/** The counter beside a rate or a trend. */
export const samplesOf = (name: string): string => `${name}_samples`

const clients = (latency: string[], { connections }: Profile): Thresholds => ({
  ...judged({
    connect_success: ['rate>0.95'],
    message_latency: latency,
    send_success: ['rate>0.99'],
    resume_success: ['rate==1'],
    reply_success: ['rate>0.99'],
  }),
  // Empty unless the books of a user were closed, and that is counted.
  lost: ['count==0'],
  repeated: ['count==0'],
  out_of_order: ['count==0'],
  disconnected: ['count==0'],
  replayed: ['count>0'],
  users_settled: [`count>=${connections}`],
})

/** That the load was the profile's. */
const atLeast = (profile: Profile): string[] => [
  `count>=${Math.floor(plannedRequests(profile) * LEAST_PART)}`,
]

const requests = (success: string, duration: string[], profile: Profile): Thresholds => ({
  request_success: [success],
  // Measured with each success or failure: it has the same samples.
  request_duration: duration,
  request_success_samples: atLeast(profile),
})

/** When a scenario has passed. */
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
