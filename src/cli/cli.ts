import type { Environment } from '../config/config.ts'
import { errorLine } from '../lib/error-line.ts'
import { isLocal } from './address.ts'
import { COMMANDS, type CommandName, isCommand, JSON_OPTION } from './commands.ts'
import { helpOf, overview } from './help.ts'
import { type Arguments, nearestOf, readArguments, UsageError } from './options.ts'
import { openTerminal, type Terminal } from './terminal.ts'

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap(name => [name, name.toLowerCase()])

interface Call {
  readonly args: Arguments
  readonly env: Environment
  readonly terminal: Terminal
  readonly signalled: Promise<string>
}

/** Runs a command; resolves with its exit code, or with undefined if the process shall go on. */
type Run = (call: Call) => Promise<number | undefined>

async function runService(
  command: 'serve' | 'worker',
  { signalled }: Pick<Call, 'signalled'>,
): Promise<undefined> {
  const { run } = await import('../command.ts')
  await run({ name: command }, signalled)
}

async function runCopy(command: 'backup' | 'restore', { args, signalled }: Call): Promise<undefined> {
  const { run } = await import('../command.ts')
  await run({ name: command, file: args.argument ?? '' }, signalled)
}

/** Commands load only their own modules: most need no part of the service. */
const RUNS: Readonly<Record<CommandName, Run>> = {
  serve: call => runService('serve', call),
  health: async ({ args, env }) => (await import('./health.ts')).checkAlive(args, env),
  backup: call => runCopy('backup', call),
  restore: call => runCopy('restore', call),
  token: async ({ args, env, terminal }) => (await import('./token.ts')).printToken(args, env, terminal),
  send: async ({ args, env, terminal }) => (await import('./send.ts')).sendNotification(args, env, terminal),
  listen: async ({ args, env, terminal, signalled }) =>
    (await import('./listen.ts')).listen(args, env, terminal, signalled),
  doctor: async ({ args, env, terminal }) =>
    (await import('./doctor/doctor.ts')).examine(args, env, terminal),
}

const STOPPED_BY_THEMSELVES: readonly CommandName[] = ['serve', 'backup', 'restore', 'listen']

/** A proxy is for addresses elsewhere, but the runtime uses it for this machine, too. */
function forgetProxies(env: Record<string, string | undefined>): void {
  for (const name of PROXIES) delete env[name]
}

async function printVersion(rest: readonly string[], terminal: Terminal): Promise<number> {
  const isJson = readArguments(rest, { summary: '', options: JSON_OPTION }).flag('json')
  const { readVersion } = await import('./version.ts')
  const found = readVersion()
  const commit = found.commit === undefined ? '' : ` (${found.commit})`
  await terminal.print(isJson ? JSON.stringify(found) : `ara-notification-service ${found.version}${commit}`)
  return 0
}

function unknownCommand(given: string): UsageError {
  const names = Object.keys(COMMANDS)
  if (given.startsWith('-'))
    return new UsageError(`unknown option ${given}: expected a command before options: ${names.join(', ')}`)
  const near = nearestOf(given, names)
  const suggestion = near === undefined ? '' : ` (did you mean ${near}?)`
  return new UsageError(`unknown command "${given}": expected ${names.join(', ')}${suggestion}`)
}

/** `--help`, or `help <command>`. */
async function printHelp([name]: readonly string[], terminal: Terminal): Promise<number> {
  if (name !== undefined && !isCommand(name)) throw unknownCommand(name)
  await terminal.print(name === undefined ? overview() : helpOf(name))
  return 0
}

async function runCommand(name: CommandName, call: Call): Promise<number | undefined> {
  if (call.args.flag('help')) {
    await call.terminal.print(helpOf(name))
    return 0
  }
  if (name !== 'serve' && isLocal(call.args)) forgetProxies(process.env)
  if (!STOPPED_BY_THEMSELVES.includes(name)) void call.signalled.then(() => process.exit(1))
  return await RUNS[name](call)
}

async function execute(
  argv: readonly string[],
  terminal: Terminal,
  signalled: Promise<string>,
): Promise<number | undefined> {
  const [first = 'serve', ...rest] = argv
  if (first === '--version') return await printVersion(rest, terminal)
  if (['--help', '-h', 'help'].includes(first)) return await printHelp(rest, terminal)
  // Only the supervisor of WORKERS gives this command.
  if (first === 'worker' && rest.length === 0) return await runService(first, { signalled })
  if (!isCommand(first)) throw unknownCommand(first)
  try {
    const args = readArguments(rest, COMMANDS[first])
    return await runCommand(first, { args, env: process.env, terminal, signalled })
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${first}: ${error.message} (see ${first} --help)`)
    throw error
  }
}

/** Runs the command line. Prints errors in one line; exits with 1 for a failure and 2 for wrong arguments. */
export async function runCommandLine(argv: readonly string[], signalled: Promise<string>): Promise<void> {
  const terminal = openTerminal(process.env)
  try {
    const code = await execute(argv, terminal, signalled)
    if (code !== undefined) process.exit(code)
  } catch (error) {
    await terminal.note(errorLine(error))
    process.exit(error instanceof UsageError ? 2 : 1)
  }
}
