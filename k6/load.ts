import { checkInputs, type Wish, wishOf } from './arguments.ts'
import { findK6 } from './binary.ts'
import { addressesOf, type Environment } from './lib/inputs.ts'
import { PROFILES } from './lib/profiles.ts'
import { INTERRUPTED, runK6 } from './run-k6.ts'
import { startService } from './service.ts'

const ANSWER_LIMIT_MS = 5_000

/** Ends the program with one line. */
function refuse(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error))
  process.exit(1)
}

/** Checks the service before k6 starts: it answers and has the log that scenarios need. */
async function look(apiUrl: string): Promise<void> {
  const response = await fetch(`${apiUrl}/health`, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) }).catch(
    () => undefined,
  )
  if (response?.status !== 200) throw new Error(`HOST: expected a service that answers, ${apiUrl} does not`)
  const health: unknown = await response.json().catch(() => undefined)
  if (JSON.stringify(health)?.includes('"queue":{"enabled":false'))
    console.error(
      'the service keeps nothing (QUEUE_ENABLED=false): what clients miss while they are away is lost',
    )
}

/** Makes the environment of k6: the caller's, or that of our own service without a host. */
async function target(env: Environment, wish: Wish, stack: AsyncDisposableStack): Promise<Environment> {
  if (addressesOf(env) !== undefined) return env
  if (env['JWT_TOKEN'] && !env['JWT_SECRET'])
    throw new Error(
      'JWT_SECRET: expected the secret of JWT_TOKEN for the service that is started here (or set HOST)',
    )
  const own = { ...env, HOST: '127.0.0.1' }
  checkInputs(wish, { JWT_SECRET: 'to be made', ...own })
  const service = stack.use(await startService(env))
  return { ...own, ...service.inputs }
}

async function main(): Promise<number> {
  const wish = wishOf(process.argv.slice(2), process.env)
  await using stack = new AsyncDisposableStack()
  const env = await target(process.env, wish, stack)
  checkInputs(wish, env)
  const { apiUrl = '', wsUrl } = addressesOf(env) ?? {}
  await look(apiUrl)
  const k6 = await findK6()
  // Progress bars would become one line per second outside a terminal.
  const flags = process.stdout.isTTY ? [] : ['--quiet']
  const { connections, requestsPerSecond } = PROFILES[wish.profile]
  let code = 0
  for (const scenario of wish.scenarios) {
    console.log(
      `${scenario} ${wish.profile}: ${connections} connections, ${requestsPerSecond} requests/s; ${apiUrl}, ${wsUrl}`,
    )
    const exitCode = await runK6({ k6, scenario, profile: wish.profile, env, flags, shown: true })
    code ||= exitCode
    if (exitCode === INTERRUPTED) break
  }
  return code
}

process.exitCode = await main().catch(refuse)
