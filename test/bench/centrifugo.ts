import type { Bench } from './row.ts'
import type { ServerProcess } from './server.ts'

const PROGRAM = 'centrifugo'
/** Settings of every run; the start of a server gives the others. */
const SETTINGS = {
  CENTRIFUGO_HTTP_SERVER_PORT: '$SERVER_PORT',
  CENTRIFUGO_HTTP_SERVER_ADDRESS: '127.0.0.1',
  CENTRIFUGO_HTTP_API_KEY: '$API_KEY',
  CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY: '$JWT_SECRET',
  CENTRIFUGO_HEALTH_ENABLED: 'true',
  CENTRIFUGO_HEALTH_HANDLER_PREFIX: '/health/ready',
  CENTRIFUGO_LOG_LEVEL: 'error',
}
/** Keeps as much as a log of ours. */
const HISTORY = {
  CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE: '100',
  CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_TTL: '3600s',
}

interface CentrifugoOptions {
  readonly cores: number
  readonly keeps: boolean
}

/** Starts the `centrifugo` of the PATH. The shell gives way to it, so the process number stays. */
export function startCentrifugo(
  { start }: Pick<Bench, 'start'>,
  { cores, keeps }: CentrifugoOptions,
): Promise<ServerProcess> {
  if (Bun.which(PROGRAM) === null)
    throw new Error(`${PROGRAM} is not on the PATH: go install github.com/centrifugal/centrifugo/v6@latest`)
  const settings = { ...SETTINGS, ...(keeps && HISTORY), GOMAXPROCS: String(cores) }
  const given = Object.entries(settings).map(([name, value]) => `${name}="${value}"`)
  return start({
    program: ['sh', '-c', `${given.join(' ')} exec ${PROGRAM}`],
    isOnAllCores: cores > 1,
  })
}
