import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildClient } from '../client/build.ts'
import { findRedisServer, ADVICE as REDIS_ADVICE } from '../test/support/redis-server.ts'

/**
 * `bun run example <name>` starts an example, and a service for it on SERVER_PORT. With ARA_URL the example uses the
 * service there. PORT is that of the example.
 */

const ROOT = join(import.meta.dir, '..')
const CACHE = join(ROOT, 'node_modules/.cache')
const READY_MS = 15_000
const POLL_MS = 50

const { env } = process
const port = env['PORT'] ?? '3000'
const servicePort = env['SERVER_PORT'] ?? '8081'
const url = env['ARA_URL'] ?? `http://localhost:${servicePort}`
const secret = env['JWT_SECRET'] ?? crypto.randomUUID()
/** The example in React has two servers. */
const backendPort = env['BACKEND_PORT'] ?? '3001'
const ALICE = ['--user', 'alice', '--channels', 'lobby', '--cursor', '']
const node = Bun.which('node') ?? process.execPath

interface Program {
  readonly command: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
}

interface Example {
  /** Programs that run side by side, in the folder of the example. */
  readonly programs: readonly Program[]
  /** It imports `ara-client`, which must be built first. */
  readonly usesClient?: true
  /** The service reads from a Redis: REDIS_URL, or one that is started. */
  readonly usesRedis?: true
  /** It starts services itself, on SERVER_PORT. */
  readonly isCluster?: true
}

const EXAMPLES: Readonly<Record<string, Example>> = {
  browser: { programs: [{ command: [node, 'server.mjs'] }], usesClient: true },
  react: {
    programs: [
      { command: [node, '../node/server.mjs'], settings: { PORT: backendPort } },
      {
        command: [node, join(ROOT, 'node_modules/vite/bin/vite.js')],
        settings: { BACKEND_PORT: backendPort },
      },
    ],
    usesClient: true,
  },
  node: { programs: [{ command: [node, 'server.mjs'] }], usesClient: true },
  php: { programs: [{ command: ['php', '-S', `127.0.0.1:${port}`, 'index.php'] }] },
  python: { programs: [{ command: ['python3', 'main.py'] }] },
  go: { programs: [{ command: ['go', 'run', '.'] }] },
  'redis-publisher': {
    programs: [{ command: [process.execPath, '../../src/main.ts', 'listen', '--url', url, ...ALICE] }],
    usesRedis: true,
  },
  cluster: {
    programs: [{ command: [process.execPath, 'start.ts'] }, { command: [node, 'client.mjs'] }],
    usesClient: true,
    isCluster: true,
  },
}

const children: Bun.Subprocess[] = []

/** Starts a program in its own process group, so that its end is also that of its children. */
function start(command: readonly string[], cwd: string, settings: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...env, NO_PROXY: 'localhost,127.0.0.1', ...settings },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    detached: true,
  })
  children.push(child)
  return child
}

async function stop(code: number): Promise<never> {
  for (const { pid } of children)
    try {
      process.kill(-pid, 'SIGTERM')
    } catch {
      // It has ended.
    }
  await Promise.all(children.map(({ exited }) => exited))
  process.exit(code)
}

const isReady = async (): Promise<boolean> =>
  (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok === true

async function findRedis(): Promise<string> {
  await mkdir(CACHE, { recursive: true })
  const server = findRedisServer(CACHE)
  if (server !== undefined) return server
  console.error(REDIS_ADVICE)
  return stop(1)
}

/** Resolves with the address of a Redis that it starts. */
async function startRedis(): Promise<string> {
  start([await findRedis(), '--bind', '127.0.0.1', '--save', ''], CACHE)
  return 'redis://localhost:6379'
}

async function startService(settings: Readonly<Record<string, string>>): Promise<void> {
  const service = start([process.execPath, 'src/main.ts'], ROOT, {
    SERVER_PORT: servicePort,
    SERVER_HOST: '127.0.0.1',
    JWT_SECRET: secret,
    QUEUE_ENABLED: 'true',
    REDIS_URL: '',
    LOG_LEVEL: 'warn',
    ...settings,
  })
  const giveUpAt = performance.now() + READY_MS
  while (!(await isReady())) {
    if (service.exitCode !== null || performance.now() > giveUpAt) return stop(1)
    await Bun.sleep(POLL_MS)
  }
}

/** Prepares what the programs of the example need, and resolves with their settings. */
async function prepare({ usesClient, usesRedis, isCluster }: Example): Promise<Record<string, string>> {
  const shared = { ARA_URL: url, VITE_ARA_URL: url, JWT_SECRET: secret, PORT: port }
  if (usesClient) await buildClient(join(ROOT, 'client/dist'))
  if (isCluster) return { ...shared, REDIS_SERVER: await findRedis() }
  if (env['ARA_URL'] !== undefined) return shared
  if (usesRedis)
    await startService({ REDIS_URL: env['REDIS_URL'] ?? (await startRedis()), REDIS_STREAM: 'notifications' })
  else await startService({})
  return shared
}

async function run(name: string, example: Example): Promise<void> {
  const missing = example.programs
    .map(({ command: [program = ''] }) => program)
    .find(each => !Bun.which(each))
  if (missing !== undefined) {
    console.error(`The example ${name} needs ${missing}: install it, then try again.`)
    process.exit(1)
  }
  const shared = await prepare(example)
  const started = example.programs.map(({ command, settings }) =>
    start(command, join(import.meta.dir, name), { ...shared, ...settings }),
  )
  await stop((await Promise.race(started.map(({ exited }) => exited))) ?? 1)
}

const name = process.argv[2] ?? ''
const example = EXAMPLES[name]
if (example === undefined) {
  console.error(`Usage: bun run example ${Object.keys(EXAMPLES).join('|')}`)
  process.exit(2)
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop(0))
await run(name, example)
