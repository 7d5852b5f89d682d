import { readInputs } from '../lib/inputs.ts'
import { clientsOf, liveClient, newRun, optionsOf, type Run } from '../lib/run.ts'
import { THRESHOLDS } from '../lib/thresholds.ts'

const inputs = readInputs(__ENV)
const { profile } = inputs
/** All clients together receive the profile's rate. */
const sendEveryMs = (profile.connections / profile.requestsPerSecond) * 1000

export const options = optionsOf({ clients: clientsOf(profile) }, THRESHOLDS.e2e(profile))

export const setup = newRun

/** Measures end to end: HTTP in, WebSocket out, acknowledged. */
export function client(run: Run): void {
  liveClient(inputs, run, { sendEveryMs, acknowledges: true })
}
