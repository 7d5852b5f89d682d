import { API_KEY, SECRET } from './app.ts'
import { type Program, spawnService } from './service.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface CliOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly program?: Program
}

/** Settings of the command line in tests; `spawnService` adds an address and no Redis. */
const CLI_ENV = { JWT_SECRET: SECRET, API_KEY }

const FROM_SOURCE: Program = {
  command: [process.execPath, 'src/main.ts'],
  cwd: new URL('../..', import.meta.url).pathname,
}

/** Starts a command of the command line. */
export function spawnCli(
  args: readonly string[],
  { env = {}, stdin, program = FROM_SOURCE }: CliOptions = {},
) {
  const called = { ...program, command: [...program.command, ...args] }
  return spawnService({ ...CLI_ENV, ...env }, called, stdin === undefined ? 'ignore' : new Blob([stdin]))
}

/** Runs a command to its end. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<Ran> {
  const child = spawnCli(args, options)
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code, stdout, stderr }
}
