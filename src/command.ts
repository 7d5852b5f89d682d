import { version } from '../package.json' with { type: 'json' }
import { loadConfig } from './config/config.ts'
import { shownSettings } from './config/shown.ts'
import { errorLine } from './lib/error-line.ts'
import { type LineWriter, writeAll } from './lib/system/line-writer.ts'
import { copyStore } from './store/copy.ts'

const STDERR = 2
/** Longest wait of a refused start for the readers of stdout and stderr, milliseconds. */
const REFUSAL_MS = 2_000

/** Ends the process with one line that names the setting and the expected value. */
async function refuse(error: unknown, out?: LineWriter): Promise<never> {
  const written = Promise.all([
    writeAll(STDERR, Buffer.from(`${errorLine(error)}\n`)),
    out?.flush(REFUSAL_MS),
  ])
  await Promise.race([written, Bun.sleep(REFUSAL_MS)])
  process.exit(1)
}

/** Serves as one process, or as the supervisor of several. */
async function serve(
  { config, warnings }: ReturnType<typeof loadConfig>,
  signalled: Promise<string>,
): Promise<void> {
  const common = { config, version, shown: shownSettings(process.env, config), signalled, refuse }
  if (config.workers === 1) {
    const { serveAlone } = await import('./serve/alone.ts')
    return await serveAlone({ ...common, warnings })
  }
  // The supervisor loads nothing of the service itself.
  const [{ supervise }, { welcomeText }] = await Promise.all([
    import('./workers/supervise.ts'),
    import('./serve/welcome.ts'),
  ])
  await supervise({ ...common, env: process.env, welcome: ports => welcomeText(ports, config) })
}

/** A command of the service itself. Only the supervisor of WORKERS gives `worker`. */
type ServiceCommand =
  | { readonly name: 'serve' }
  | { readonly name: 'worker' }
  | { readonly name: 'backup' | 'restore'; readonly file: string }

async function execute(command: ServiceCommand, signalled: Promise<string>): Promise<void> {
  if (command.name === 'worker') {
    const { serveAsWorker } = await import('./serve/worker.ts')
    return await serveAsWorker({ env: process.env, version, signalled })
  }
  const loaded = loadConfig(process.env)
  if (command.name === 'serve') return await serve(loaded, signalled)
  void signalled.then(() => process.exit(1))
  await copyStore(command.name, command.file, loaded.config)
}

/** Runs the command; `signalled` resolves with the first signal. */
export const run = (command: ServiceCommand, signalled: Promise<string>): Promise<void> =>
  execute(command, signalled).catch(error => refuse(error))
