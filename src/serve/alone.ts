import type { App } from '../app.ts'
import type { Config } from '../config/config.ts'
import { createLogger, openOutput } from '../observe/log.ts'
import { type Refuse, run } from './run.ts'
import { welcomeText } from './welcome.ts'

interface AloneOptions {
  readonly config: Config
  readonly warnings: readonly string[]
  readonly version: string
  /** The settings as the log shows them. */
  readonly shown: Readonly<Record<string, string>>
  readonly signalled: Promise<string>
  readonly refuse: Refuse
}

/** Serves as the only process, until a signal. */
export async function serveAlone({
  config,
  warnings,
  version,
  shown: settings,
  signalled,
  refuse,
}: AloneOptions): Promise<void> {
  const out = openOutput(config.logFormat)
  const logger = await createLogger({ level: config.logLevel, format: config.logFormat, out })
  const ending = signalled.then(signal => {
    logger.info({ signal }, 'signal')
    return (app: App) => app.drain()
  })
  const app = await run({ config, warnings, version, logger, out, refuse, ending })
  const { host, port, internalPort } = app
  const ports = { port, ...(internalPort !== undefined && { internal_port: internalPort }) }
  logger.info({ version, node: config.nodeId, host, ...ports, settings }, 'started')
  if (config.madeSecret) out.write(await welcomeText(app, config))
}
