import type { Config, Environment } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { callApi, isRecord, refusalOf } from '../api.ts'
import { readStream, StreamRefused } from '../stream.ts'
import { tokenFor } from '../token.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Time limit of one step, and of all steps together, milliseconds. */
const STEP_MS = 2_500
const ALL_MS = 8_000
const TOKEN_SECONDS = 60

/** A running service as the doctor reaches it. */
export interface RunningService {
  readonly url: string
  /** Address of `/health`; another port with INTERNAL_PORT. */
  readonly healthUrl: string
  readonly key: string | undefined
}

const statusOf = (part: unknown): unknown => (isRecord(part) ? part['status'] : undefined)

/** Names of the parts that are not healthy. */
const sickParts = (health: Readonly<Record<string, unknown>>): readonly string[] =>
  ['store', 'bus', 'redis'].filter(
    part => !['healthy', 'disabled', undefined].includes(statusOf(health[part]) as string),
  )

async function checkHealth({ healthUrl }: RunningService, signal: AbortSignal): Promise<Finding> {
  const { status, body = {} } = await callApi(healthUrl, '/health', { signal })
  if (status !== 200)
    return fail('health', `HTTP ${status} at ${healthUrl}/health`, 'give the address with --url')
  const sick = sickParts(body)
  const message = `version ${body['version']}, node ${body['node']}`
  if (sick.length === 0) return ok('health', message)
  const report = `${message}: not healthy: ${sick.join(', ')}`
  const advice = 'look at the checks of Redis and the store, and at the log of the service'
  return sick.some(part => part !== 'redis') ? fail('health', report, advice) : warn('health', report, advice)
}

async function checkKey({ url, key }: RunningService, signal: AbortSignal): Promise<Finding> {
  const answer = await callApi(url, '/api/v1/channels?limit=1', { key, signal })
  if (answer.status === 200)
    return ok('api key', key === undefined ? 'the API is open: no key is set' : 'accepted')
  const { code, message } = refusalOf(answer)
  const advice =
    answer.status === 401
      ? 'set API_KEY to a key of the running service, and restart it after a change'
      : 'look at the log of the service'
  return fail('api key', `${code}: ${message}`, advice)
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

/** Sends a notification that no log keeps, to a client that this stream is. */
async function sendTo(
  user: string,
  { url, key }: RunningService,
  signal: AbortSignal,
): Promise<string | undefined> {
  const body = JSON.stringify({ target_user_id: user, event_type: 'doctor', payload: user, ttl: 0 })
  const answer = await callApi(url, '/api/v1/notifications/send', { method: 'POST', key, body, signal })
  return answer.status === 200 ? undefined : refusalOf(answer).message
}

const TOKEN_ADVICE = 'set JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE as the running service has them'

/** Connects a client with a signed token, sends it a notification and waits for it. */
async function* tryRoundTrip(
  service: RunningService,
  env: Environment,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const user = `doctor-${crypto.randomUUID().slice(0, 8)}`
  const token = await tokenFor(env, { user, seconds: TOKEN_SECONDS })
  let sentAt: number | undefined
  try {
    for await (const { event, data } of readStream({ url: service.url, token, signal })) {
      if (event === 'connected') {
        yield ok('token', 'signed, accepted, connected')
        sentAt = performance.now()
        const fault = await sendTo(user, service, signal)
        if (fault === undefined) continue
        yield fail('notification', fault, 'correct the faults above first')
        return
      }
      if (event === 'notification' && data.includes(user)) {
        yield ok('notification', `sent and received in ${Math.round(performance.now() - (sentAt ?? 0))} ms`)
        return
      }
    }
    yield fail('notification', 'the stream ended', 'look at the log of the service')
  } catch (error) {
    if (error instanceof StreamRefused)
      yield fail(
        'token',
        error.message,
        error.status === 401 ? TOKEN_ADVICE : 'look at the log of the service',
      )
    else if (sentAt === undefined)
      yield fail('token', `no connection: ${errorLine(error)}`, 'look at the log of the service')
    else
      yield fail(
        'notification',
        `sent, but not received: ${errorLine(error)}`,
        'look at the log of the service',
      )
  }
}

async function checkRoundTrip(
  service: RunningService,
  { jwtSecret, madeSecret }: Config,
  env: Environment,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  if (madeSecret || jwtSecret === undefined)
    return [
      warn(
        'token',
        'not tried: JWT_SECRET is unset, so no token can be signed here',
        'set JWT_SECRET to try a round trip',
      ),
    ]
  const findings: Finding[] = []
  for await (const finding of tryRoundTrip(service, env, signal)) findings.push(finding)
  return findings
}

/** Checks a running service within ALL_MS. */
export async function checkService(
  service: RunningService,
  config: Config,
  env: Environment,
): Promise<readonly Finding[]> {
  const all = AbortSignal.timeout(ALL_MS)
  const step = async (
    check: string,
    run: (signal: AbortSignal) => Promise<readonly Finding[]>,
  ): Promise<readonly Finding[]> => {
    try {
      return await run(AbortSignal.any([all, AbortSignal.timeout(STEP_MS)]))
    } catch (error) {
      return [fail(check, errorLine(error), 'look at the log of the service')]
    }
  }
  const health = step('health', async signal => [await checkHealth(service, signal)])
  const key = step('api key', async signal => [await checkKey(service, signal)])
  const nodes = step('nodes', signal => checkNodes(service, signal))
  const trip = step('token', signal => checkRoundTrip(service, config, env, signal))
  return (await Promise.all([health, key, nodes, trip])).flat()
}
