import exec from 'k6/execution'
import { createApi } from '../lib/api.ts'
import { readInputs } from '../lib/inputs.ts'
import type { Mark } from '../lib/outbox.ts'
import { clientsOf, liveClient, newRun, optionsOf, type Run } from '../lib/run.ts'
import { THRESHOLDS } from '../lib/thresholds.ts'

const MAX_SEND_EVERY_SECONDS = 5
/** Least notifications per client during the hold. */
const LEAST_SENT = 10

const inputs = readInputs(__ENV)
const { profile, channels } = inputs
const api = createApi(inputs)
const sendEveryMs = Math.min(MAX_SEND_EVERY_SECONDS, profile.holdSeconds / LEAST_SENT) * 1000

export const options = optionsOf(
  {
    clients: clientsOf(profile),
    publisher: {
      executor: 'constant-arrival-rate',
      exec: 'publish',
      rate: 1,
      timeUnit: '1s',
      startTime: `${profile.rampUpSeconds}s`,
      duration: `${profile.holdSeconds}s`,
      // Use one sender: its sends have an order.
      preAllocatedVUs: 1,
      maxVUs: 1,
    },
  },
  THRESHOLDS.websocket(profile),
)

export const setup = newRun

/** Holds connections that receive a few notifications. */
export function client(run: Run): void {
  liveClient(inputs, run, { sendEveryMs, acknowledges: false })
}

/** Sends one notification per second to the subscribers of each channel in turn. */
export function publish({ run }: Run): void {
  const n = exec.scenario.iterationInTest
  const channel = channels[n % channels.length] ?? ''
  const payload: Mark = { run, channel, n, sent_at: Date.now() }
  api.wait('channel', { channel, event_type: 'k6.load', payload })
}
