import type { Config, Environment } from '../../config/config.ts'
import { callApi, isRecord, refusalOf } from '../api.ts'
import { adviceFor, notAnswered, type RunningService } from './answers.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { checkHealth } from './health.ts'
import { checkRoundTrip } from './round-trip.ts'

/** Time limit of one step, milliseconds. */
const STEP_MS = 2_500
const KEY_ADVICE = 'set API_KEY to a key of the running service, and restart it after a change'

async function checkKey({ url, key }: RunningService, signal: AbortSignal): Promise<Finding> {
  const answer = await callApi(url, '/api/v1/channels?limit=1', { key, signal })
  if (answer.status === 200)
    return ok('api key', key === undefined ? 'the API is open: no key is set' : 'accepted')
  const { code, message } = refusalOf(answer)
  return fail('api key', `${code}: ${message}`, adviceFor(answer.status, KEY_ADVICE))
}

async function checkNodes({ url, key }: RunningService, signal: AbortSignal): Promise<readonly Finding[]> {
  const { status, body = {} } = await callApi(url, '/api/v1/cluster', { key, signal })
  const nodes = body['nodes']
  if (status !== 200 || !Array.isArray(nodes)) return []
  const names = nodes.filter(isRecord).map(({ id }) => String(id))
  const message = `${names.length} known: ${names.join(', ')}`
  const advice = 'a node is silent: look at its log'
  return [body['partial'] === true ? warn('nodes', message, advice) : ok('nodes', message)]
}

/** Checks a running service: its health, then the other steps at once. */
export async function checkService(
  service: RunningService,
  config: Config,
  env: Environment,
): Promise<readonly Finding[]> {
  const limit = (): AbortSignal => AbortSignal.timeout(STEP_MS)
  const step = async (
    check: string,
    run: (signal: AbortSignal) => Promise<readonly Finding[]>,
  ): Promise<readonly Finding[]> => {
    try {
      return await run(limit())
    } catch (error) {
      return [notAnswered(check, error)]
    }
  }
  const { finding, isReached } = await checkHealth(service, limit())
  if (!isReached) return [finding]
  const key = step('api key', async signal => [await checkKey(service, signal)])
  const nodes = step('nodes', signal => checkNodes(service, signal))
  const trip = step('token', signal => checkRoundTrip(service, config, env, signal))
  return [finding, ...(await Promise.all([key, nodes, trip])).flat()]
}
