import type { App } from '../app.ts'
import { type Links, openLinks } from '../bus/links/links.ts'
import { type Config, type Environment, loadConfig } from '../config/config.ts'
import { shownSettings } from '../config/shown.ts'
import { errorLine } from '../lib/error-line.ts'
import { systemClock } from '../lib/time/clock.ts'
import { createLogger, type Logger, openOutput } from '../observe/log.ts'
import { connectToSupervisor, type Ending } from '../workers/link.ts'
import type { StartMessage } from '../workers/messages.ts'
import { settingsOfWorker } from '../workers/share.ts'
import { type Refuse, run } from './run.ts'

interface WorkerOptions {
  readonly env: Environment
  readonly version: string
  readonly signalled: Promise<string>
}

/** Descriptors of the sockets that the supervisor passes on. */
const PUBLIC_SOCKET = 3
const INTERNAL_SOCKET = 4
/** Drain of a worker whose supervisor was killed: another service may be about to start. */
const ORPHAN_DRAIN_SECONDS = 1
/** A drain that began before may take longer. */
const ORPHAN_MS = 4_000
/** Longest wait of a refused start for the supervisor, milliseconds. */
const REFUSAL_MS = 2_000

/** Warns about settings that only a restart of the service changes. */
const changedIn = (env: Environment, given: StartMessage['given']): readonly string[] =>
  Object.entries(given)
    .filter(([name, value]) => (env[name] ?? '') !== value)
    .map(([name]) => `${name} has changed: restart the service to apply it, a reload does not`)

function loadOfWorker(env: Environment, start: StartMessage) {
  const { worker, count, given, fixed, secret } = start
  const fixedEnv = { ...env, ...fixed }
  const { config, warnings } = loadConfig(fixedEnv)
  const ofService: Config = { ...config, jwtSecret: config.madeSecret ? secret : config.jwtSecret }
  const isFirst = worker === 1
  return {
    config: settingsOfWorker(ofService, worker, count),
    // Once is enough: all workers have the same ones.
    warnings: isFirst ? [...warnings, ...changedIn(env, given)] : [],
    // At its start the service logs them itself.
    shown: isFirst && start.isSuccessor ? { settings: shownSettings(fixedEnv, config) } : {},
  }
}

const endOf = (way: Ending) => (app: App) => {
  switch (way) {
    case 'drain':
      return app.drain()
    case 'hand over':
      return app.handOver()
    case 'orphaned':
      return app.drain(ORPHAN_DRAIN_SECONDS)
  }
}

/** Connects to the other workers. Without links everything goes through Redis. */
async function linksOf({ links: directory }: StartMessage, logger: Logger): Promise<Links | undefined> {
  if (directory === undefined) return undefined
  try {
    const onLost = (fields: object): void => logger.warn(fields, 'workers.link_lost')
    return await openLinks({ directory, clock: systemClock, onLost })
  } catch (error) {
    logger.warn({ reason: errorLine(error) }, 'workers.no_links')
    return undefined
  }
}

/** Serves as one of several processes, until the supervisor or a signal ends it. */
export async function serveAsWorker({ env, version, signalled }: WorkerOptions): Promise<void> {
  // A terminal that goes away sends it to all processes; the supervisor decides.
  process.on('SIGHUP', () => {})
  const link = await connectToSupervisor()
  void link.orphaned.then(() => setTimeout(() => process.exit(1), ORPHAN_MS))
  const refuse: Refuse = async (error, out) => {
    await Promise.race([
      Promise.all([link.refuse(errorLine(error)), out?.flush(REFUSAL_MS)]),
      Bun.sleep(REFUSAL_MS),
    ])
    process.exit(1)
  }
  try {
    const { config, warnings, shown } = loadOfWorker(env, link.start)
    const { nodeId: node, logLevel: level, logFormat: format, drainSeconds } = config
    const out = openOutput(format)
    const logger = await createLogger({ level, format, out, node, colours: link.start.colours })
    const app = await run({
      config,
      warnings,
      version,
      logger,
      out,
      refuse,
      ending: Promise.race([link.ending, signalled.then((): Ending => 'drain')]).then(endOf),
      place: {
        fleet: link.fleet,
        sockets: { public: PUBLIC_SOCKET, internal: INTERNAL_SOCKET },
        untilReady: link.untilReady,
        isAlone: link.isAlone,
        links: await linksOf(link.start, logger),
        beforeClose: link.report,
      },
    })
    link.reportBy(app.metrics)
    link.serving(drainSeconds)
    logger.info({ version, pid: process.pid, ...shown }, 'worker.started')
  } catch (error) {
    await refuse(error)
  }
}
