import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFile, cp, mkdir, mkdtemp, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { version } from '../../package.json' with { type: 'json' }
import { API_KEY, SECRET } from '../support/app.ts'
import { CERTIFICATE } from '../support/certificate.ts'
import { runCli, spawnCli } from '../support/cli.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { type Program, spawnService, startService } from '../support/service.ts'
import { tracesOfProcess } from '../support/traced.ts'
import { nodesOf, startWorkers } from '../support/workers.ts'

const ROOT = join(import.meta.dir, '../..')
const PROJECT = ['package.json', 'tsconfig.json', 'scripts', 'src']
const BUILD_MS = 60_000

/** Settings for the executable, with parts that only some settings load. */
const VARIANTS: readonly (readonly [name: string, env: (folder: string) => Record<string, string>])[] = [
  ['as it comes', () => ({})],
  ['with a log in memory', () => ({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })],
  [
    'with a log in a file',
    folder => ({ QUEUE_ENABLED: 'true', STORE_URL: `sqlite:${join(folder, 'ara.db')}` }),
  ],
  ['in production', () => ({ RUN_MODE: 'production', LOG_FORMAT: '', LOG_LEVEL: 'debug' })],
]

let folder = ''
/** Runs the executable in a folder without any project file. */
let program: Program

async function run(command: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([...command], { cwd, stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' })
  const complaints = await child.stderr.text()
  if ((await child.exited) !== 0) throw new Error(complaints)
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString()
    if (text.includes('\n')) break
  }
  return text
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ara-binary-'))
  const [sources, home] = [join(folder, 'sources'), join(folder, 'home')]
  await mkdir(home)
  for (const name of PROJECT) await cp(join(ROOT, name), join(sources, name), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(sources, 'node_modules'))
  await run([process.execPath, 'scripts/build.ts', join(folder, 'bin/ara'), 'abc1234'], sources)
  // The executable must not look for source files.
  await rm(sources, { recursive: true })
  program = { command: [join(folder, 'bin/ara')], cwd: home }
}, BUILD_MS)

afterAll(() => rm(folder, { recursive: true, force: true }))

test('the build produces one file and nothing else', async () => {
  expect(await readdir(join(folder, 'bin'))).toEqual(['ara'])
})

for (const [name, env] of VARIANTS)
  test(`${name}, the executable alone delivers over WebSocket and SSE, drains and exits with 0`, async () => {
    await using service = await startService({ DRAIN_SECONDS: '1', ...env(folder) }, program)
    const { url, lines } = service
    expect(lines.find(({ event }) => event === 'started')?.version).toBe(version)
    const token = await service.token('u')
    const socket = await connectSocket(`${url}/ws?token=${token}`)
    socket.send({ type: 'Ping' })
    await socket.nextOf('pong')
    const stream = await connectStream(`${url}/sse?token=${token}`)
    await stream.nextOf('connected')
    expect(await (await service.send('u', { n: 1 })).json()).toMatchObject({ delivered_to: 2 })
    expect((await socket.nextOf('notification')).payload).toEqual({ n: 1 })
    expect((await stream.nextOf('notification')).data.payload).toEqual({ n: 1 })
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'healthy', version })
    service.signal('SIGTERM')
    expect(await socket.closed).toMatchObject({ code: 1012 })
    await stream.closed
    expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  }, 20_000)

test('the executable contains the API page and everything that it loads', async () => {
  await using service = await startService({ DRAIN_SECONDS: '0' }, program)
  const page = await (await fetch(`${service.url}/docs`)).text()
  const files = [...page.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, file = '']) => `/${file}`)
  const answers = await Promise.all(['/openapi.json', ...files].map(path => fetch(service.url + path)))
  const sizes = await Promise.all(answers.map(async answer => (await answer.text()).length))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(sizes.map((size, n) => size > (n === 3 ? 50 : 50_000))).toEqual([true, true, true, true])
})

test('the executable copies its store while it runs, and restores the copy', async () => {
  const file = join(folder, `${crypto.randomUUID()}.db`)
  const env = { QUEUE_ENABLED: 'true', STORE_URL: `sqlite:${file}`, DRAIN_SECONDS: '0' }
  const copy = `${file}.copy`
  const run = async (command: string) => {
    const child = spawnService(env, { ...program, command: [...program.command, command, copy] })
    return { code: await child.exited, stderr: await child.stderr.text() }
  }
  await using service = await startService(env, program)
  await service.send('u', 1)
  expect(await run('backup')).toEqual({ code: 0, stderr: '' })
  await service.send('u', 2)
  service.signal('SIGTERM')
  await service.ended
  expect(await run('restore')).toEqual({ code: 0, stderr: '' })
  await using restored = await startService(env, program)
  const token = await restored.token('u')
  const socket = await connectSocket(`${restored.url}/ws?token=${token}&cursor=`)
  expect(await socket.nextOf('connected')).toMatchObject({ replayed: 1 })
}, 20_000)

test('the executable runs several workers, and a SIGHUP starts the file that has replaced it', async () => {
  await using redis = await startRedis()
  const file = join(folder, 'bin/replaced')
  await copyFile(program.command[0] ?? '', file)
  await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '0' }, { ...program, command: [file] })
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  const programOf = (pid: number) => readlink(`/proc/${pid}/exe`)
  expect(await programOf(service.pidOf(2))).toBe(file)
  // A running file cannot be written; a deployment puts another one in its place.
  await copyFile(file, `${file}.new`)
  await rename(`${file}.new`, file)
  expect(await programOf(service.pidOf(2))).toBe(`${file} (deleted)`)
  service.signal('SIGHUP')
  await service.untilLines('workers.reloaded', 1)
  expect(await programOf(service.pidOf(2))).toBe(file)
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  service.signal('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
}, 40_000)

for (const http of [false, true])
  for (const tls of [false, true])
    test(`the executable alone sends traces over ${http ? 'HTTP' : 'gRPC'}${tls ? ' and TLS' : ''}`, async () => {
      const certificate = join(folder, 'ca.pem')
      await Bun.write(certificate, CERTIFICATE)
      const env = {
        ...(http && { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }),
        ...(tls && { OTEL_EXPORTER_OTLP_CERTIFICATE: certificate }),
      }
      const spans = await tracesOfProcess(program, { http, tls, env })
      expect(spans.map(({ name }) => name)).toEqual([
        'store.append',
        'dispatch',
        'HTTP POST /api/v1/notifications/send',
      ])
    }, 20_000)

test('without any setting it prints a token that works', async () => {
  const child = spawnService({ LOG_FORMAT: 'text' }, program)
  let text = ''
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString()
    if (text.includes('docs/')) break
  }
  const [url = ''] = /http:\/\/localhost:\d+\/sse\?token=[\w.-]+/.exec(text) ?? []
  using stream = await connectStream(url)
  expect(await stream.next()).toMatchObject({ event: 'connected', data: { user_id: 'demo' } })
  child.kill('SIGTERM')
  await stream.closed
  expect(await child.exited).toBe(0)
}, 20_000)

describe('an invalid setting stops it with one line and exit code 1', () => {
  const production = { RUN_MODE: 'production', JWT_SECRET: SECRET, API_KEY }
  for (const [setting, env] of [
    ['SERVER_PORT', { SERVER_PORT: 'http' }],
    ['JWT_SECRET', { ...production, JWT_SECRET: 'short' }],
    ['API_KEY', { ...production, API_KEY: '' }],
    ['WEBSOCKET_CONNECTION_TIMEOUT', { WEBSOCKET_CONNECTION_TIMEOUT: '1' }],
  ] as const)
    test(setting, async () => {
      const child = spawnService(env, program)
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
      expect([await child.exited, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(new RegExp(`^${setting}: expected [^\n]+\n$`))
    })
})

describe('the `health` command checks the service with the same settings', () => {
  const ask = async (args: readonly string[], env: Record<string, string>) => {
    const child = spawnService(env, { ...program, command: [...program.command, ...args] })
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
    return { code: await child.exited, stdout, stderr }
  }

  test('exits with 0 while the service answers, even with an HTTP proxy set; otherwise with one line and 1', async () => {
    await using service = await startService({ DRAIN_SECONDS: '0' }, program)
    const port = String(service.port)
    // The proxy's port has no listener.
    const env = { SERVER_PORT: port, HTTP_PROXY: 'http://127.0.0.1:9', http_proxy: 'http://127.0.0.1:9' }
    expect(await ask(['health'], env)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await ask(['health'], { ...env, SERVER_HOST: '0.0.0.0' })).toMatchObject({ code: 0 })
    service.signal('SIGTERM')
    await service.ended
    const { code, stderr } = await ask(['health'], env)
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^[^\n]*ECONNREFUSED[^\n]*\n$/)])
  })

  test('a mistyped command does not start a second service', async () => {
    for (const args of [['healthy'], ['health', 'now'], ['--bogus'], ['backup'], ['restore', 'a', 'b']]) {
      const { code, stdout, stderr } = await ask(args, {})
      expect([code, stdout, stderr]).toEqual([2, '', expect.stringMatching(/^[^\n]+expected?[^\n]+\n$/)])
    }
  })
})

test('the executable alone runs the command line: version, token, send, listen and doctor', async () => {
  await using service = await startService({ DRAIN_SECONDS: '0', QUEUE_ENABLED: 'true' }, program)
  const env = { SERVER_PORT: String(service.port) }
  const run = (args: readonly string[]) => runCli(args, { env, program })
  expect((await run(['--version'])).stdout).toMatch(/^ara-notification-service \S+ \(abc1234\)\n$/)
  const token = (await run(['token', '--user', 'u'])).stdout.trim()
  const listener = spawnCli(['listen', '--token', token], { env, program })
  expect(await run(['send', '--user', 'u', '--type', 'e', '--payload', '1.10'])).toMatchObject({ code: 0 })
  const line = await firstLine(listener.stdout)
  expect(line).toContain('e  1.10  ')
  listener.kill('SIGINT')
  expect(await listener.exited).toBe(0)
  expect(await run(['doctor'])).toMatchObject({ code: 0, stderr: '' })
}, 20_000)
