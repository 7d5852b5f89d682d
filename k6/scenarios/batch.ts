import exec from 'k6/execution'
import { Trend } from 'k6/metrics'
import { createApi, resultOf } from '../lib/api.ts'
import { readInputs } from '../lib/inputs.ts'
import { arrivalsOf, newRun, optionsOf, type Run } from '../lib/run.ts'
import { rate } from '../lib/series.ts'
import { THRESHOLDS } from '../lib/thresholds.ts'

const inputs = readInputs(__ENV)
const { profile, channels, batchSize } = inputs
const api = createApi(inputs)
const requestSuccess = rate('request_success')
const requestDuration = new Trend('request_duration', true)

export const options = optionsOf({ requests: arrivalsOf(profile) }, THRESHOLDS.batch(profile))

export const setup = newRun

/** The last item of each batch goes to a channel, the others to users. */
function itemOf(at: number, n: number, run: string): object {
  const user = `k6-${run}-${(n * batchSize + at) % profile.connections}`
  const channel = channels[n % channels.length]
  const target = at === batchSize - 1 ? { type: 'channel', value: channel } : { type: 'user', value: user }
  return { target, event_type: 'k6.load', payload: { run, n, at, sent_at: Date.now() } }
}

/** True if every item has a result without an error. */
function isWhole(result: Readonly<Record<string, unknown>> | undefined): boolean {
  const results = result?.['results']
  return (
    Array.isArray(results) && results.length === batchSize && results.every(item => item.error === undefined)
  )
}

export function request({ run }: Run): void {
  const n = exec.scenario.iterationInTest
  const notifications = Array.from({ length: batchSize }, (_, at) => itemOf(at, n, run))
  const response = api.wait('batch', { notifications })
  requestSuccess.add(isWhole(resultOf(response)))
  requestDuration.add(response.timings.duration)
}
