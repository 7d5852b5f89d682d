import type { Config, Environment } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { callApi, refusalOf } from '../api.ts'
import { readStream, StreamRefused } from '../stream.ts'
import { tokenFor } from '../token.ts'
import { adviceFor, type RunningService, SEE_LOG } from './answers.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const TOKEN_SECONDS = 60
const TOKEN_ADVICE = 'set JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE as the running service has them'

/** Sends a notification that no log keeps. Resolves with the reason of a refusal. */
async function sendTo(
  user: string,
  { url, key }: RunningService,
  signal: AbortSignal,
): Promise<string | undefined> {
  const body = JSON.stringify({ target_user_id: user, event_type: 'doctor', payload: user, ttl: 0 })
  const answer = await callApi(url, '/api/v1/notifications/send', { method: 'POST', key, body, signal })
  return answer.status === 200 ? undefined : refusalOf(answer).message
}

/** Connects a client with a signed token, sends it a notification and waits for it. */
async function* tryRoundTrip(
  service: RunningService,
  env: Environment,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const user = `doctor-${crypto.randomUUID().slice(0, 8)}`
  const token = await tokenFor(env, { user, tenant: service.tenant, seconds: TOKEN_SECONDS })
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
    yield fail('notification', 'the stream ended', SEE_LOG)
  } catch (error) {
    if (error instanceof StreamRefused)
      yield fail('token', error.message, adviceFor(error.status, TOKEN_ADVICE))
    else if (sentAt === undefined) yield fail('token', `no connection: ${errorLine(error)}`, SEE_LOG)
    else yield fail('notification', `sent, but not received: ${errorLine(error)}`, SEE_LOG)
  }
}

/** Checks that a signed token and a notification pass through the service. */
export async function checkRoundTrip(
  service: RunningService,
  { jwtSecret, madeSecret }: Config,
  env: Environment,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  if (madeSecret)
    return [warn('token', 'not tried: JWT_SECRET is unset', 'set JWT_SECRET to that of the running service')]
  if (jwtSecret === undefined)
    return [warn('token', 'not tried: tokens are signed elsewhere', 'try one of yours with "listen --token"')]
  const findings: Finding[] = []
  for await (const finding of tryRoundTrip(service, env, signal)) findings.push(finding)
  return findings
}
