import { version } from '../package.json' with { type: 'json' }
import { type App, startApp } from './app.ts'
import { signToken } from './auth/sign.ts'
import { type Config, loadConfig } from './config/config.ts'
import { shownSettings } from './config/shown.ts'
import { isAlive } from './http/ask-health.ts'
import { descriptorLimit } from './lib/system/descriptors.ts'
import { type LineWriter, writeAll } from './lib/system/line-writer.ts'
import { systemClock } from './lib/time/clock.ts'
import { createOnFault } from './observe/fault.ts'
import { createLogger, type Logger, openOutput } from './observe/log.ts'
import { copyStore } from './store/copy.ts'

const DEMO_USER = 'demo'
const DEMO_TOKEN_SECONDS = 86_400
const SPARE_DESCRIPTORS = 100
const STDERR = 2
/** Longest wait of a refused start for the readers of stdout and stderr, milliseconds. */
const REFUSAL_MS = 2_000
/** Longest wait of the exit for the reader of stdout, milliseconds. */
const FLUSH_MS = 500
const LAST_SECOND_MS = 950

/** Ends the process with one line that names the setting and the expected value. */
async function refuse(error: unknown, out?: LineWriter): Promise<never> {
  const line = error instanceof Error ? error.message.split('\n', 1)[0] : 'unknown fault'
  const told = Promise.all([writeAll(STDERR, Buffer.from(`${line}\n`)), out?.flush(REFUSAL_MS)])
  await Promise.race([told, Bun.sleep(REFUSAL_MS)])
  process.exit(1)
}

function warnOfDescriptors({ websocketMaxConnections: most }: Config, logger: Logger): void {
  const limit = descriptorLimit()
  if (limit !== undefined && limit < most + SPARE_DESCRIPTORS)
    logger.warn({ limit, wanted: most + SPARE_DESCRIPTORS }, 'start.few_file_descriptors')
}

/** Shows a first-time user the commands for a first notification. */
async function welcomeText(
  { port, internalPort = port }: App,
  { jwtSecret = '', apiKey, tenantApiKeys }: Config,
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

interface DrainOptions {
  readonly starting: Promise<App>
  readonly signalled: Promise<string>
  readonly drainSeconds: number
  readonly logger: Logger
  readonly out: LineWriter
}

/** Drains after the first signal, once the service has started, and exits with 0. */
async function drainOnSignal({
  starting,
  signalled,
  drainSeconds,
  logger,
  out,
}: DrainOptions): Promise<never> {
  const signal = await signalled
  logger.info({ signal }, 'signal')
  const endsAt = systemClock.monotonic() + drainSeconds * 1000 + LAST_SECOND_MS
  try {
    const app = await starting
    await app.drain()
  } catch (error) {
    logger.error({ err: error }, 'drain.fault')
  }
  await out.flush(Math.min(FLUSH_MS, endsAt - systemClock.monotonic()))
  process.exit(0)
}

/** Keeps the process alive after an unexpected fault, which costs one request or connection. */
function surviveFaults({ stats }: App, logger: Logger): void {
  const survive = createOnFault({ logger, clock: systemClock, stats })
  process.on('uncaughtException', survive)
  process.on('unhandledRejection', survive)
}

async function serve(
  { config, warnings }: ReturnType<typeof loadConfig>,
  signalled: Promise<string>,
): Promise<void> {
  const out = openOutput(config.logFormat)
  const logger = await createLogger({ level: config.logLevel, format: config.logFormat, out })
  for (const warning of warnings) logger.warn({ warning }, 'start.warning')
  warnOfDescriptors(config, logger)
  const linesDropped = () => out.dropped
  const starting = startApp({ config, version, logger, linesDropped }).catch(error => refuse(error, out))
  void drainOnSignal({ starting, signalled, drainSeconds: config.drainSeconds, logger, out })
  const app = await starting
  surviveFaults(app, logger)
  const settings = shownSettings(process.env, config)
  const { host, port, internalPort } = app
  const ports = { port, ...(internalPort !== undefined && { internal_port: internalPort }) }
  logger.info({ version, node: config.nodeId, host, ...ports, settings }, 'started')
  if (config.madeSecret) out.write(await welcomeText(app, config))
}

/** Exits with 0 if the service with these settings answers; serves as the container's health check. */
async function checkHealth({ serverHost: host, serverPort, internalPort }: Config): Promise<never> {
  process.exit((await isAlive({ host, port: internalPort || serverPort })) ? 0 : 1)
}

const USAGE = 'expected no argument (serve), "health", "backup <file>" or "restore <file>"'

async function execute(
  [command, file, ...rest]: readonly string[],
  signalled: Promise<string>,
): Promise<void> {
  const isCopy = command === 'backup' || command === 'restore'
  if (
    rest.length > 0 ||
    (file !== undefined) !== isCopy ||
    !(isCopy || command === undefined || command === 'health')
  )
    throw new Error(USAGE)
  const loaded = loadConfig(process.env)
  if (command === undefined) return await serve(loaded, signalled)
  void signalled.then(() => process.exit(1))
  if (isCopy && file !== undefined) return await copyStore(command, file, loaded.config)
  await checkHealth(loaded.config)
}

/** Runs the command that `argv` names; `signalled` resolves with the first signal. */
export const run = (argv: readonly string[], signalled: Promise<string>): Promise<void> =>
  execute(argv, signalled).catch(error => refuse(error))
