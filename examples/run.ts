import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildClient } from '../client/build.ts'
import { findRedisServer } from '../test/support/redis-server.ts'
import { checkPorts, checkPrograms, type Example } from './support/checks.ts'
import { firstEnd, interrupt, start, stop } from './support/programs.ts'
import { BACKEND_PORT, OWN_URL, PORT, REDIS_URL, SERVER_PORT } from './support/settings.ts'

/**
 * `bun run example <name>` starts an example, and a service for it on SERVER_PORT. With ARA_URL the example uses the
 * service there. PORT is the port of the example.
 */

const ROOT = join(import.meta.dir, '..')
const CACHE = join(ROOT, 'node_modules/.cache')
const READY_MS = 15_000
const POLL_MS = 50
/** Ctrl-C ends an example although pages are connected. */
const QUICK_END = { DRAIN_SECONDS: '1' }

const { env } = process
const url = env['ARA_URL'] ?? OWN_URL
const secret = env['JWT_SECRET'] ?? crypto.randomUUID()
const ALICE = ['--user', 'alice', '--channels', 'lobby', '--cursor', '']
const node = Bun.which('node') ?? process.execPath

const EXAMPLES: Readonly<Record<string, Example>> = {
  browser: {
    programs: [{ command: [node, 'server.mjs'] }],
    ports: ['PORT'],
    keeps: true,
    usesClient: true,
  },
  react: {
    programs: [
      { command: [node, '../node/server.mjs'], settings: { PORT: BACKEND_PORT } },
      {
        command: [node, join(ROOT, 'node_modules/vite/bin/vite.js'), '--clearScreen', 'false'],
        settings: { BACKEND_PORT },
      },
    ],
    ports: ['PORT', 'BACKEND_PORT'],
    keeps: true,
    usesClient: true,
  },
  node: { programs: [{ command: [node, 'server.mjs'] }], ports: ['PORT'], usesClient: true },
  php: { programs: [{ command: ['php', '-S', `127.0.0.1:${PORT}`, 'index.php'] }], ports: ['PORT'] },
  python: { programs: [{ command: ['python3', 'main.py'] }], ports: ['PORT'] },
  // `go run` removes what it has built after SIGINT only.
  go: { programs: [{ command: ['go', 'run', '.'], signal: 'SIGINT' }], ports: ['PORT'] },
  'redis-publisher': {
    programs: [{ command: [process.execPath, '../../src/main.ts', 'listen', '--url', url, ...ALICE] }],
    usesRedis: true,
  },
  cluster: {
    programs: [{ command: [process.execPath, 'start.ts'] }, { command: [node, 'client.mjs'] }],
    needs: ['redis-server', 'haproxy'],
    usesClient: true,
    isCluster: true,
  },
}

const isReady = async (): Promise<boolean> =>
  (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok === true

async function findRedis(): Promise<string> {
  await mkdir(CACHE, { recursive: true })
  return findRedisServer(CACHE) ?? 'redis-server'
}

/** Resolves with the address of a Redis that it starts. */
async function startRedis(): Promise<string> {
  const options = ['--bind', '127.0.0.1', '--save', '', '--logfile', 'example-redis.log']
  start({ command: [await findRedis(), ...options] }, CACHE)
  return REDIS_URL
}

async function startService(settings: Readonly<Record<string, string>>): Promise<void> {
  const all = {
    SERVER_PORT,
    SERVER_HOST: '127.0.0.1',
    JWT_SECRET: secret,
    QUEUE_ENABLED: 'true',
    REDIS_URL: '',
    LOG_LEVEL: 'warn',
    ...QUICK_END,
    ...settings,
  }
  const service = start({ command: [process.execPath, 'src/main.ts'], settings: all }, ROOT)
  const giveUpAt = performance.now() + READY_MS
  while (!(await isReady())) {
    if (service.exitCode !== null || performance.now() > giveUpAt) return stop(1)
    await Bun.sleep(POLL_MS)
  }
  console.log(`service: ${OWN_URL}, pid ${service.pid}`)
}

/** Settings of the service that belongs to an example. */
async function serviceSettings(name: string, { keeps, usesRedis }: Example): Promise<Record<string, string>> {
  if (usesRedis) return { REDIS_URL: env['REDIS_URL'] ?? (await startRedis()), REDIS_STREAM: 'notifications' }
  if (!keeps) return {}
  await mkdir(CACHE, { recursive: true })
  return { STORE_URL: env['STORE_URL'] ?? `sqlite:${join(CACHE, `example-${name}.db`)}` }
}

/** Prepares what the programs of the example need, and resolves with their settings. */
async function prepare(name: string, example: Example): Promise<Record<string, string>> {
  const { usesClient, isCluster } = example
  const shared = { ARA_URL: url, VITE_ARA_URL: url, JWT_SECRET: secret, PORT }
  if (usesClient) await buildClient(join(ROOT, 'client/dist'))
  if (isCluster) return { ...shared, ARA_URL: OWN_URL, REDIS_SERVER: await findRedis(), ...QUICK_END }
  if (env['ARA_URL'] === undefined) await startService(await serviceSettings(name, example))
  return shared
}

async function run(name: string, example: Example): Promise<void> {
  checkPrograms(name, example)
  checkPorts(name, example)
  const shared = await prepare(name, example)
  for (const { settings, ...program } of example.programs)
    start({ ...program, settings: { ...shared, ...settings } }, join(import.meta.dir, name))
  // The example ends with the first program that ends, its service included.
  const code = await firstEnd()
  await stop(code || 1)
}

const name = process.argv[2] ?? ''
const example = Object.hasOwn(EXAMPLES, name) ? EXAMPLES[name] : undefined
if (example === undefined) {
  console.error(`Usage: bun run example ${Object.keys(EXAMPLES).join('|')}`)
  process.exit(2)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt)
await run(name, example)
