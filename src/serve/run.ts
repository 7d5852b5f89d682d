import { type App, type AppOptions, startApp } from '../app.ts'
import type { Config } from '../config/config.ts'
import { descriptorLimit } from '../lib/system/descriptors.ts'
import type { LineWriter } from '../lib/system/line-writer.ts'
import { systemClock } from '../lib/time/clock.ts'
import { createOnFault } from '../observe/fault.ts'
import type { Logger } from '../observe/log.ts'

/** Ends the process with one line that says why it cannot start. */
export type Refuse = (error: unknown, out?: LineWriter) => Promise<never>

interface RunOptions extends Pick<AppOptions, 'config' | 'version' | 'logger' | 'place'> {
  readonly warnings: readonly string[]
  readonly out: LineWriter
  readonly refuse: Refuse
  /** Resolves with the way in which the service shall end. */
  readonly ending: Promise<(app: App) => Promise<void>>
}

const SPARE_DESCRIPTORS = 100
/** Longest wait of the exit for the reader of stdout, milliseconds. */
const FLUSH_MS = 500
const LAST_SECOND_MS = 950

function warnOfDescriptors({ websocketMaxConnections: most }: Config, logger: Logger): void {
  const limit = descriptorLimit()
  if (limit !== undefined && limit < most + SPARE_DESCRIPTORS)
    logger.warn({ limit, wanted: most + SPARE_DESCRIPTORS }, 'start.few_file_descriptors')
}

/** Ends the service once it has started and shall end, and exits with 0. */
async function endLater(
  starting: Promise<App>,
  { ending, config, logger, out }: Pick<RunOptions, 'ending' | 'config' | 'logger' | 'out'>,
): Promise<never> {
  const end = await ending
  const endsAt = systemClock.monotonic() + config.drainSeconds * 1000 + LAST_SECOND_MS
  try {
    await end(await starting)
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

/** Runs the service until `ending`; resolves when it serves. */
export async function run(options: RunOptions): Promise<App> {
  const { config, warnings, version, logger, out, refuse, place } = options
  for (const warning of warnings) logger.warn({ warning }, 'start.warning')
  warnOfDescriptors(config, logger)
  const linesDropped = () => out.dropped
  const starting = startApp({ config, version, logger, linesDropped, place }).catch(error =>
    refuse(error, out),
  )
  void endLater(starting, options)
  const app = await starting
  surviveFaults(app, logger)
  return app
}
