import type { Fault } from './faults.ts'
import type { Environment } from './lib/inputs.ts'
import type { Scenario } from './lib/thresholds.ts'

/** Fault and the thresholds that must find it; without a fault no threshold may fail. */
export interface Proof {
  readonly fault: Fault
  /** Environment beside that of every run. */
  readonly env?: Environment
  readonly crosses: readonly string[]
  /** Thresholds that must not fail. */
  readonly spares?: readonly string[]
}

const P95 = 'message_latency p(95)'
const P99 = 'message_latency p(99)'

/** Proofs for all scenarios with clients. */
const CLIENT_PROOFS: readonly Proof[] = [
  {
    fault: { name: 'each tenth connect is refused', refuses: n => n % 10 === 0 },
    crosses: ['connect_success'],
    spares: ['lost', 'repeated', 'out_of_order'],
  },
  {
    fault: { name: 'after the 101 of each fifth there is nothing', leavesAlone: n => n % 5 === 4 },
    crosses: ['connect_success'],
  },
  {
    fault: { name: 'every connect is refused', refuses: () => true },
    crosses: [
      'connect_success',
      'message_latency_samples',
      'send_success_samples',
      'resume_success_samples',
      'reply_success_samples',
      'replayed',
    ],
  },
  {
    fault: { name: 'all notifications come late', fate: () => [300] },
    crosses: [P95],
    spares: ['lost', 'repeated', 'out_of_order'],
  },
  {
    fault: {
      name: 'a few notifications come very late',
      fate: ({ to, n }) => [n === 5 && to !== undefined && to % 3 === 1 ? 700 : 0],
    },
    crosses: [P99],
    spares: [P95, 'lost', 'repeated', 'out_of_order'],
  },
  {
    fault: { name: 'one notification is dropped', fate: ({ to, n }) => (to === 3 && n === 4 ? [] : [0]) },
    crosses: ['lost'],
    spares: ['repeated', 'out_of_order', 'connect_success'],
  },
  {
    fault: {
      name: 'one notification comes twice',
      fate: ({ to, n }) => (to === 3 && n === 4 ? [0, 0] : [0]),
    },
    crosses: ['repeated'],
    spares: ['lost', 'out_of_order', 'connect_success'],
  },
  {
    fault: {
      name: 'one notification is overtaken',
      fate: ({ to, n }) => [to === 3 && n === 4 ? 1_500 : 0],
      overtaken: true,
    },
    crosses: ['out_of_order'],
    spares: ['lost', 'repeated', 'connect_success'],
  },
  {
    fault: { name: 'cursors are forgotten', forgetsCursors: true },
    crosses: ['resume_success', 'repeated'],
    spares: ['lost', 'connect_success'],
  },
  {
    fault: { name: 'connections are cut', cutsAfter: 8 },
    crosses: ['disconnected'],
  },
  {
    fault: { name: 'clients are not heard', isDeaf: true },
    crosses: ['reply_success'],
    spares: ['lost', 'repeated', 'out_of_order'],
  },
  {
    fault: { name: 'frames are no messages', garbage: true },
    crosses: ['users_settled'],
  },
  {
    fault: { name: 'no fault, but the token is none' },
    env: { JWT_TOKEN: 'none' },
    crosses: ['users_settled', 'connect_success_samples'],
  },
  {
    fault: {
      name: 'some sends are refused',
      answers: n => (n % 20 === 7 ? { instead: 503 } : {}),
    },
    crosses: ['send_success'],
    spares: ['lost', 'repeated', 'out_of_order'],
  },
]

const requestProofs = (lateMs: number, veryLateMs: number): readonly Proof[] => [
  {
    fault: { name: 'all answers come late', answers: () => ({ lateMs }) },
    crosses: ['request_duration p(95)'],
    spares: ['request_success', 'request_success_samples'],
  },
  {
    fault: {
      name: 'a few answers come very late',
      answers: n => ({ lateMs: n % 30 === 7 ? veryLateMs : 0 }),
    },
    crosses: ['request_duration p(99)'],
    spares: ['request_duration p(95)', 'request_success'],
  },
  {
    fault: { name: 'some requests are refused', answers: n => (n % 20 === 7 ? { instead: 503 } : {}) },
    crosses: ['request_success'],
    spares: ['request_success_samples'],
  },
  {
    fault: { name: 'some answers say nothing', answers: n => (n % 20 === 7 ? { instead: 200 } : {}) },
    crosses: ['request_success'],
    spares: ['request_success_samples'],
  },
  {
    fault: { name: 'answers take 5 s', answers: () => ({ lateMs: 5_000 }) },
    crosses: ['request_success_samples', 'request_duration p(95)', 'request_duration p(99)'],
  },
]

const HEALTHY: Proof = { fault: { name: 'no fault' }, crosses: [] }

export const PROOFS: Readonly<Record<Scenario, readonly Proof[]>> = {
  websocket: [
    HEALTHY,
    ...CLIENT_PROOFS,
    {
      fault: { name: 'channels are silent', fate: ({ to }) => (to === undefined ? [] : [0]) },
      crosses: ['channel_messages'],
      spares: ['lost', 'connect_success'],
    },
  ],
  e2e: [
    HEALTHY,
    ...CLIENT_PROOFS,
    {
      fault: { name: 'answers take 2 s', answers: () => ({ lateMs: 2_000 }) },
      crosses: ['send_success_samples'],
      spares: ['lost', 'repeated', 'out_of_order'],
    },
  ],
  http: [HEALTHY, ...requestProofs(70, 300)],
  batch: [HEALTHY, ...requestProofs(300, 700)],
}
