import { get } from 'node:http'
import { version } from '../package.json' with { type: 'json' }
import { type App, startApp } from './app.ts'
import { signToken } from './auth/sign.ts'
import { type Config, loadConfig } from './config/config.ts'
import { shownSettings } from './config/shown.ts'
import { systemClock } from './lib/clock.ts'
import { createLog, type Log } from './observe/log.ts'
import { descriptorLimit } from './observe/process.ts'
import { copyStore } from './store/copy.ts'

const DEMO_USER = 'demo'
const DEMO_TOKEN_SECONDS = 86_400
const SPARE_DESCRIPTORS = 100
const HEALTH_MS = 3000

/** Exactly one line, naming the setting and what was expected. */
function refuse(error: unknown): never {
  const line = error instanceof Error ? error.message.split('\n', 1)[0] : 'unknown fault'
  process.stderr.write(`${line}\n`)
  process.exit(1)
}

function warnOfDescriptors({ websocketMaxConnections: most }: Config, log: Log): void {
  const limit = descriptorLimit()
  if (limit !== undefined && limit < most + SPARE_DESCRIPTORS)
    log.warn({ limit, wanted: most + SPARE_DESCRIPTORS }, 'start.few_file_descriptors')
}

/** What a newcomer needs to see the first notification. */
async function welcome(
  { port, internalPort = port }: App,
  { jwtSecret = '', apiKey, tenantApiKeys }: Config,
): Promise<void> {
  const token = await signToken({
    secret: jwtSecret,
    user: DEMO_USER,
    seconds: DEMO_TOKEN_SECONDS,
    clock: systemClock,
  })
  const url = `http://localhost:${port}`
  const key = apiKey.length + tenantApiKeys.length === 0 ? '' : ' -H "X-API-Key: $API_KEY"'
  const body = `{"target_user_id":"${DEMO_USER}","event_type":"hello","payload":{"text":"Hello"}}`
  process.stdout.write(`
  A token of user "${DEMO_USER}", good for a day (the secret behind it is made anew at each start):
    ${token}
  Listen as ${DEMO_USER}, in a second terminal:
    curl -N "${url}/sse?token=${token}"
  Notify ${DEMO_USER}:
    curl -X POST ${url}/api/v1/notifications/send${key} -H "Content-Type: application/json" -d '${body}'
  Documents: http://localhost:${internalPort}/docs, docs/

`)
}

/** First signal: drain, once it has started, and exit 0. Second: exit 1 at once. */
function drainOnSignal(starting: Promise<App>, log: Log): void {
  let draining = false
  const onSignal = (signal: string) => {
    if (draining) process.exit(1)
    draining = true
    log.info({ signal }, 'signal')
    const drain = async () => (await starting).drain()
    drain().then(
      () => process.exit(0),
      error => {
        log.error({ err: error }, 'drain.fault')
        process.exit(0)
      },
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** A fault nobody foresaw costs one request or one connection, never the process. */
function surviveFaults(app: App, log: Log): void {
  const survive = (error: unknown) => {
    app.stats.unhandledErrors++
    log.error({ err: error, total: app.stats.unhandledErrors }, 'fault.unhandled')
  }
  process.on('uncaughtException', survive)
  process.on('unhandledRejection', survive)
}

/** Exits with 0 when the service with the same settings answers: a container asks itself so, without any other program. */
function checkHealth({ serverHost: host, serverPort, internalPort }: Config): void {
  const port = internalPort || serverPort
  // Unlike `fetch`, this asks no HTTP_PROXY.
  get({ host, port, path: '/health/live', timeout: HEALTH_MS }, ({ statusCode }) =>
    process.exit(statusCode === 200 ? 0 : 1),
  )
    .on('timeout', () => refuse(new Error(`no answer on ${host}:${port}`)))
    .on('error', refuse)
}

async function serve({ config, warnings }: ReturnType<typeof loadConfig>): Promise<void> {
  const log = await createLog({ level: config.logLevel, format: config.logFormat })
  for (const warning of warnings) log.warn({ warning }, 'start.warning')
  warnOfDescriptors(config, log)
  const starting = startApp({ config, version, log }).catch(refuse)
  // As the first process of a container it would not be ended by a signal that it does not handle.
  drainOnSignal(starting, log)
  const app = await starting
  surviveFaults(app, log)
  const settings = shownSettings(process.env, config)
  const { host, port, internalPort } = app
  const ports = { port, ...(internalPort !== undefined && { internal_port: internalPort }) }
  log.info({ version, node: config.nodeId, host, ...ports, settings }, 'started')
  if (config.madeSecret) await welcome(app, config)
}

const USAGE = 'expected no argument (serve), "health", "backup <file>" or "restore <file>"'

async function main([command, file, ...rest]: readonly string[]): Promise<void> {
  const isCopy = command === 'backup' || command === 'restore'
  if (
    rest.length > 0 ||
    (file !== undefined) !== isCopy ||
    !(isCopy || command === undefined || command === 'health')
  )
    throw new Error(USAGE)
  const loaded = loadConfig(process.env)
  if (isCopy && file !== undefined) return await copyStore(command, file, loaded.config)
  if (command === 'health') return checkHealth(loaded.config)
  await serve(loaded)
}

await main(process.argv.slice(2)).catch(refuse)
