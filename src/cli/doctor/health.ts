import { callApi, isEnvelope, isRecord, refusalOf } from '../api.ts'
import { NOT_OURS, notAnswered, type RunningService, SEE_LOG } from './answers.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

interface Health {
  readonly finding: Finding
  /** False if no service answers, so that nothing else can be checked. */
  readonly isReached: boolean
}

const isHealthy = (part: unknown): boolean =>
  !isRecord(part) || part['status'] === undefined || ['healthy', 'disabled'].includes(String(part['status']))

/** Names the parts that are not healthy. */
function reportOf(health: Readonly<Record<string, unknown>>): Finding {
  const sick = Object.keys(health).filter(name => !isHealthy(health[name]))
  const message = `version ${health['version']}, node ${health['node']}`
  if (sick.length === 0) return ok('health', message)
  const report = `${message}: not healthy: ${sick.join(', ')}`
  const advice = 'look at the checks of Redis and the store, and at the log of the service'
  return sick.some(part => part !== 'redis') ? fail('health', report, advice) : warn('health', report, advice)
}

/** Asks `/health`, which only the port of INTERNAL_PORT serves if it is set. */
async function ask({ healthUrl }: RunningService, signal: AbortSignal): Promise<Health> {
  const answer = await callApi(healthUrl, '/health', { signal })
  const { status, body } = answer
  if (typeof body?.['version'] === 'string') return { finding: reportOf(body), isReached: true }
  if (status === 404 && isEnvelope(answer)) {
    const advice =
      'with INTERNAL_PORT run doctor on the machine of the service, otherwise correct the address'
    return { finding: warn('health', `not served at ${healthUrl}/health`, advice), isReached: true }
  }
  const { code, message } = refusalOf(answer)
  const advice = isEnvelope(answer) ? SEE_LOG : NOT_OURS
  return { finding: fail('health', `${code}: ${message}`, advice), isReached: false }
}

export const checkHealth = (service: RunningService, signal: AbortSignal): Promise<Health> =>
  ask(service, signal).catch((error: unknown) => ({
    finding: notAnswered('health', error),
    isReached: false,
  }))
