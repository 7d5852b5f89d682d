import { signToken } from '../auth/sign.ts'
import type { Config } from '../config/config.ts'
import { systemClock } from '../lib/time/clock.ts'

const DEMO_USER = 'demo'
const DEMO_TOKEN_SECONDS = 86_400

interface Ports {
  readonly port: number
  readonly internalPort: number | undefined
}

/** Shows a first-time user the commands for a first notification. */
export async function welcomeText(
  { port, internalPort = port }: Ports,
  { jwtSecret = '', apiKey, tenantApiKeys }: Pick<Config, 'jwtSecret' | 'apiKey' | 'tenantApiKeys'>,
): Promise<string> {
  const token = await signToken({
    secret: jwtSecret,
    user: DEMO_USER,
    seconds: DEMO_TOKEN_SECONDS,
    clock: systemClock,
  })
  const url = `http://localhost:${port}`
  const key = apiKey.length + tenantApiKeys.length === 0 ? '' : ' -H "X-API-Key: $API_KEY"'
  const body = `{"target_user_id":"${DEMO_USER}","event_type":"hello","payload":{"text":"Hello"}}`
  return `
  Token of user "${DEMO_USER}", valid for one day (each start generates a new secret):
    ${token}
  Connect as ${DEMO_USER} in a second terminal:
    curl -N "${url}/sse?token=${token}"
  Notify ${DEMO_USER}:
    curl -X POST ${url}/api/v1/notifications/send${key} -H "Content-Type: application/json" -d '${body}'
  Documents: http://localhost:${internalPort}/docs, docs/

`
}
