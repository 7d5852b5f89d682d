import exec from 'k6/execution'
import { Trend } from 'k6/metrics'
import { createApi, isTaken, resultOf } from '../lib/api.ts'
import { readInputs } from '../lib/inputs.ts'
import { arrivalsOf, newRun, optionsOf, type Run } from '../lib/run.ts'
import { rate } from '../lib/series.ts'
import { THRESHOLDS } from '../lib/thresholds.ts'

/** Six of ten requests target one user, the others each another kind. */
const KINDS = 10
const USERS_AT_ONCE = 3

const inputs = readInputs(__ENV)
const { profile, channels } = inputs
const api = createApi(inputs)
const requestSuccess = rate('request_success')
const requestDuration = new Trend('request_duration', true)

export const options = optionsOf({ requests: arrivalsOf(profile) }, THRESHOLDS.http(profile))

export const setup = newRun

function sendOf(n: number, run: string): { readonly path: string; readonly target: object } {
  const user = (offset: number) => `k6-${run}-${(n + offset) % profile.connections}`
  switch (n % KINDS) {
    case 6:
      return {
        path: 'send-to-users',
        target: { target_user_ids: Array.from({ length: USERS_AT_ONCE }, (_, at) => user(at)) },
      }
    case 7:
      return { path: 'channel', target: { channel: channels[n % channels.length] } }
    case 8:
      return { path: 'channels', target: { channels } }
    case 9:
      return { path: 'broadcast', target: {} }
    default:
      return { path: 'send', target: { target_user_id: user(0) } }
  }
}

/** Sends to users without connections and channels without subscribers: only the request is measured. */
export function request({ run }: Run): void {
  const n = exec.scenario.iterationInTest
  const { path, target } = sendOf(n, run)
  const payload = { run, n, sent_at: Date.now() }
  const response = api.wait(path, { ...target, event_type: 'k6.load', payload })
  requestSuccess.add(isTaken(resultOf(response)))
  requestDuration.add(response.timings.duration)
}
