import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config, Environment } from '../config/config.ts'
import { initialEnvironment } from '../lib/system/initial-environment.ts'
import type { LineWriter } from '../lib/system/line-writer.ts'
import { systemClock } from '../lib/time/clock.ts'
import { createLogger, isTerminal, type Logger, openOutput } from '../observe/log.ts'
import { createFleet, type WorkerFleet } from './fleet.ts'
import { reservePorts } from './ports.ts'

interface SuperviseOptions {
  readonly config: Config
  readonly env: Environment
  readonly version: string
  /** The settings as the log shows them. */
  readonly shown: Readonly<Record<string, string>>
  readonly signalled: Promise<string>
  /** Ends the process with one line. */
  readonly refuse: (error: unknown, out: LineWriter) => Promise<never>
  /** Text for a first-time user, written if a secret was made. */
  readonly welcome: (ports: {
    readonly port: number
    readonly internalPort: number | undefined
  }) => Promise<string>
}

/** Settings that all workers share; SIGHUP does not change them. */
const FIXED = ['WORKERS', 'NODE_ID', 'SERVER_HOST', 'SERVER_PORT', 'INTERNAL_PORT']
const FLUSH_MS = 30

/** Command of a worker: this program, as it is on the disk when the worker starts. */
const workerCommand = (): readonly string[] =>
  Bun.isStandaloneExecutable
    ? [process.execPath, 'worker']
    : [process.execPath, ...process.execArgv, Bun.main, 'worker']

/** Replaces the workers at each SIGHUP; one that arrives meanwhile follows. */
function reloadOnHangup(fleet: WorkerFleet, logger: Logger): void {
  let wanted = false
  let isReloading = false
  const reload = async (): Promise<void> => {
    isReloading = true
    await fleet.started
    while (wanted) {
      wanted = false
      logger.info({}, 'workers.reload')
      const failed = await fleet.replaceAll()
      if (failed === undefined) logger.info({}, 'workers.reloaded')
      else logger.error(failed, 'workers.reload_failed')
    }
    isReloading = false
  }
  process.on('SIGHUP', () => {
    wanted = true
    if (!isReloading) void reload()
  })
}

/** Makes a directory that only this user reads, until this process ends. */
function makeLinkDirectory(logger: Logger): string | undefined {
  try {
    const directory = mkdtempSync(join(tmpdir(), 'ara-'))
    process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
    return directory
  } catch (error) {
    logger.warn({ reason: String(error) }, 'workers.no_links')
    return undefined
  }
}

/** Starts WORKERS processes that share the port and keeps them running, until a signal. Serves nothing itself. */
export async function supervise({
  config,
  env,
  version,
  shown: settings,
  signalled,
  refuse,
  welcome,
}: SuperviseOptions): Promise<void> {
  const { workers: count, nodeId: node, serverHost: host, logFormat, logLevel: level, drainSeconds } = config
  const out = openOutput(logFormat)
  const logger = await createLogger({ level, format: logFormat, out })
  process.on('uncaughtException', error => logger.error({ err: error }, 'fault.unhandled'))
  process.on('unhandledRejection', error => logger.error({ err: error }, 'fault.unhandled'))

  const ports = reservePorts(config, count)
  const { port, internalPort } = ports
  const fleet = createFleet({
    count,
    ports,
    command: workerCommand(),
    env: initialEnvironment(env),
    start: {
      given: Object.fromEntries(FIXED.map(name => [name, env[name] ?? ''])),
      fixed: {
        WORKERS: String(count),
        NODE_ID: node,
        SERVER_HOST: host,
        SERVER_PORT: String(port),
        INTERNAL_PORT: String(internalPort ?? 0),
      },
      secret: (config.madeSecret ? config.jwtSecret : undefined) ?? randomBytes(48).toString('base64url'),
      links: makeLinkDirectory(logger),
      colours: isTerminal(),
    },
    drainSeconds,
    out,
    clock: systemClock,
    logger,
  })
  // A second signal ends this process at once: no worker may outlive it.
  process.on('exit', fleet.kill)
  reloadOnHangup(fleet, logger)
  void fleet.refused.then(line => {
    fleet.kill()
    return refuse(new Error(line), out)
  })
  void signalled.then(async signal => {
    logger.info({ signal }, 'signal')
    await fleet.drain()
    await out.flush(FLUSH_MS)
    process.exit(0)
  })

  await fleet.started
  const ofPorts = { port, ...(internalPort !== undefined && { internal_port: internalPort }) }
  logger.info({ version, node, host, ...ofPorts, workers: count, settings }, 'started')
  if (config.madeSecret) out.write(await welcome(ports))
}
