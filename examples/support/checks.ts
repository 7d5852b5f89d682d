import { hasRedisServer } from '../../test/support/redis-server.ts'
import type { Program } from './programs.ts'
import { BACKEND_PORT, OWN_URL, PORT, REDIS_PORT, REDIS_URL, SERVER_PORT } from './settings.ts'

export interface Example {
  /** Programs that run side by side, in the folder of the example. */
  readonly programs: readonly Program[]
  /** Further programs that these start. */
  readonly needs?: readonly string[]
  /** Variables that hold the ports of its servers. */
  readonly ports?: readonly ('PORT' | 'BACKEND_PORT')[]
  /** Its service keeps notifications in a file, for the next start. */
  readonly keeps?: true
  /** It imports `ara-client`, which must be built first. */
  readonly usesClient?: true
  /** The service reads from a Redis: REDIS_URL, or one that is started. */
  readonly usesRedis?: true
  /** It starts services itself, on SERVER_PORT. */
  readonly isCluster?: true
}

/** Package of Debian and Ubuntu that contains a program. */
const PACKAGES: Readonly<Record<string, string>> = { php: 'php-cli', go: 'golang-go' }

const { env } = process

function refuse(text: string): never {
  console.error(text)
  process.exit(1)
}

/** Tells whether the example starts a Redis. */
const startsRedis = ({ usesRedis }: Example): boolean =>
  usesRedis === true && env['ARA_URL'] === undefined && env['REDIS_URL'] === undefined

const isInstalled = (program: string): boolean =>
  program === 'redis-server' ? hasRedisServer() : Bun.which(program) !== null

/** Refuses to start without a program that the example needs. */
export function checkPrograms(name: string, example: Example): void {
  const { programs, needs = [] } = example
  const used = programs.map(({ command: [program = ''] }) => program)
  const all = [...used, ...needs, ...(startsRedis(example) ? ['redis-server'] : [])]
  const missing = all.filter(program => !isInstalled(program))
  if (missing.length === 0) return
  const packages = missing.map(program => PACKAGES[program] ?? program).join(' ')
  const advice = `On Debian and Ubuntu type "apt-get install -y ${packages}".`
  refuse(`The example ${name} needs ${missing.join(' and ')}. ${advice}`)
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: '127.0.0.1', port, socket: { data: () => {} } }).stop()
    return true
  } catch {
    return false
  }
}

/** Refuses a port that is in use: the example would talk to the program that listens there. */
export function checkPorts(name: string, example: Example): void {
  const run = `bun run example ${name}`
  const need = (variable: string, port: string, advice: string) => {
    if (!isFree(Number(port))) refuse(`${variable}: expected a free port, ${port} is in use. ${advice}`)
  }
  const numbers = { PORT, BACKEND_PORT }
  for (const variable of example.ports ?? [])
    need(variable, numbers[variable], `Choose another one: ${variable}=… ${run}`)
  if (env['ARA_URL'] !== undefined && !example.isCluster) return
  const other = example.isCluster ? '' : `, or use the service there: ARA_URL=${OWN_URL} JWT_SECRET=… ${run}`
  need('SERVER_PORT', SERVER_PORT, `Choose another one: SERVER_PORT=… ${run}${other}`)
  if (startsRedis(example) && !isFree(REDIS_PORT))
    refuse(`Port ${REDIS_PORT} is in use. To use the Redis there: REDIS_URL=${REDIS_URL} ${run}`)
}
