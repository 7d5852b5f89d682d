import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { API_KEY, SECRET } from '../support/app.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { spawnService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'
import { getJson, isAlive, nodesOf, startWorkers, workerSettings } from '../support/workers.ts'

setDefaultTimeout(40_000)

/** Workers wait for a core on a busy machine. */
const BUSY_MS = 1_500

let redis: TestRedis
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = await mkdtemp(join(tmpdir(), 'ara-workers-'))
})
afterAll(async () => {
  await redis[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Runs the service to its end. */
async function endOf(env: Record<string, string>) {
  const elapsed = startStopwatch()
  const child = spawnService({ JWT_SECRET: SECRET, API_KEY, ...env })
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
  const code = await child.exited
  return { code, stdout, stderr, ms: elapsed() }
}

test('each worker is a node of its own on the one port, and every one is used', async () => {
  await using service = await startWorkers(redis.url, { WORKERS: '3' })
  expect(await nodesOf(service, 60)).toEqual(['n-1', 'n-2', 'n-3'])
  expect(service.linesOf('started')).toMatchObject([{ node: 'n', workers: 3, port: service.port }])
  expect(new Set(service.pids()).size).toBe(3)
  expect(await getJson(service, '/health')).toMatchObject({ workers: { running: 3, configured: 3 } })
})

test('a send to any worker reaches the connections of all', async () => {
  await using service = await startWorkers(redis.url, { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const url = `${service.url}/ws?token=${await service.token('u')}`
  const sockets = await Promise.all(Array.from({ length: 16 }, () => connectSocket(url)))
  for (let n = 0; n < 4; n++)
    expect(await (await service.send('u', n)).json()).toMatchObject({ delivered_to: 16, failed: 0 })
  for (const socket of sockets)
    expect((await socket.take(4)).map(({ payload }) => payload)).toEqual([0, 1, 2, 3])
  for (const socket of sockets) socket.close()
})

test('INTERNAL_PORT is shared the same way', async () => {
  const internal = await freePort()
  await using service = await startWorkers(redis.url, { INTERNAL_PORT: String(internal) })
  expect(service.linesOf('started')).toMatchObject([{ internal_port: internal }])
  const inside = { ...service, url: `http://127.0.0.1:${internal}` }
  expect(await nodesOf(inside)).toEqual(['n-1', 'n-2'])
  expect(await getJson(service, '/health')).toMatchObject({ error: { code: 'NOT_FOUND' } })
})

test('without a secret one is made that all workers accept, and the token for a first start works', async () => {
  const child = spawnService(workerSettings(redis.url, { LOG_FORMAT: 'text', DRAIN_SECONDS: '0' }))
  let text = ''
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString()
    if (text.includes('docs/')) break
  }
  const [url = ''] = /http:\/\/localhost:\d+\/sse\?token=[\w.-]+/.exec(text) ?? []
  for (let n = 0; n < 5; n++) {
    const streams = await Promise.all(Array.from({ length: 4 }, () => connectStream(url)))
    for (const stream of streams) stream.close()
    await Promise.all(streams.map(({ closed }) => closed))
    await eventually(
      async () =>
        (await connectStream(url).then(
          each => each.close(),
          () => 'full',
        )) !== 'full',
    )
  }
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
})

describe('a start is refused with one line and exit code 1', () => {
  const count = { WORKERS: '2' }
  test.each<[what: string, env: Record<string, string>, line: string]>([
    ['without a bus', count, 'WORKERS: expected 1, or BUS_URL=redis: for more than one process'],
    [
      'with a log and neither bus nor store',
      { ...count, ACK_ENABLED: 'true' },
      'WORKERS: expected 1, or BUS_URL=redis: and STORE_URL=redis: for more than one process',
    ],
    [
      'with a log in memory',
      { ...count, BUS_URL: 'redis:', REDIS_URL: 'redis://localhost:1', QUEUE_ENABLED: 'true' },
      'WORKERS: expected 1, or STORE_URL=redis: for more than one process',
    ],
    ['with none', { WORKERS: '0' }, 'WORKERS: expected a whole number from 1 to 256, or auto'],
    ['with too many', { WORKERS: '257' }, 'WORKERS: expected a whole number from 1 to 256, or auto'],
  ])('%s', async (_, env, line) => {
    expect(await endOf(env)).toMatchObject({ code: 1, stdout: '', stderr: `${line}\n` })
  })

  test('because of the port', async () => {
    using taken = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() })
    const env = workerSettings(redis.url, { SERVER_PORT: String(taken.port) })
    const { code, stderr } = await endOf(env)
    expect([code, stderr]).toEqual([1, `SERVER_PORT: expected a free port, ${taken.port} is in use\n`])
  })

  test('because a second service has the port, whose workers share it', async () => {
    await using service = await startWorkers(redis.url)
    const { code, stderr } = await endOf(workerSettings(redis.url, { SERVER_PORT: String(service.port) }))
    expect([code, stderr]).toEqual([1, `SERVER_PORT: expected a free port, ${service.port} is in use\n`])
  })

  test('because a worker cannot start', async () => {
    const env = workerSettings(redis.url, { WORKERS: '4', STORE_URL: `sqlite:${folder}/none/ara.db` })
    const { code, stderr, ms } = await endOf(env)
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^STORE_URL: [^\n]+\n$/)])
    expect(ms).toBeLessThan(30_000)
  })

  test('as a worker that a person starts', async () => {
    const child = spawnService(
      {},
      { command: [process.execPath, 'src/main.ts', 'worker'], cwd: `${import.meta.dir}/../..` },
    )
    expect([await child.exited, await child.stderr.text()]).toEqual([
      1,
      'worker: expected to be started by the service (WORKERS)\n',
    ])
  })
})

describe('a signal', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`${signal} drains all workers at once, and the service exits with 0 within DRAIN_SECONDS and a second`, async () => {
      await using service = await startWorkers(redis.url, {
        DRAIN_SECONDS: '1',
        WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
      })
      const url = `${service.url}/ws?token=${await service.token('u')}`
      const sockets = await Promise.all(Array.from({ length: 20 }, () => connectSocket(url)))
      const stream = await connectStream(`${service.url}/sse?token=${await service.token('u')}`)
      const elapsed = startStopwatch()
      service.signal(signal)
      const { code, stderr } = await service.ended
      expect([code, stderr]).toEqual([0, ''])
      expect(elapsed()).toBeLessThan(2_100 + BUSY_MS)
      const codes = await Promise.all(sockets.map(async socket => (await socket.closed).code))
      expect(new Set(codes)).toEqual(new Set([1012]))
      // No worker is left to reconnect to: clients wait for the next start.
      for (const socket of sockets)
        expect((await socket.nextOf('shutdown')).reconnect_after_seconds).toBeGreaterThan(1)
      await stream.closed
      const drains = service.linesOf('drain.started')
      expect(drains.map(({ node }) => node).sort()).toEqual(['n-1', 'n-2'])
      expect(drains.reduce((sum, { connections }) => sum + connections, 0)).toBe(21)
      expect(service.linesOf('drain.ended')).toHaveLength(2)
      expect(service.pids().filter(isAlive)).toEqual([])
    })

  test('a second one exits with 1 at once, and no worker stays', async () => {
    await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '30' })
    using _socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
    using _other = await connectSocket(`${service.url}/ws?token=${await service.token('v')}`)
    service.signal('SIGTERM')
    await service.line('signal')
    service.signal('SIGTERM')
    expect((await service.ended).code).toBe(1)
    await eventually(() => !service.pids().some(isAlive), 1_000)
  })
})

test('killed with -9, the supervisor leaves no worker behind', async () => {
  const port = await freePort()
  const env = { SERVER_PORT: String(port), DRAIN_SECONDS: '10' }
  await using service = await startWorkers(redis.url, env)
  const sockets = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async user =>
      connectSocket(`${service.url}/ws?token=${await service.token(user)}`),
    ),
  )
  service.signal('SIGKILL')
  await eventually(() => !service.pids().some(isAlive), 5_000)
  expect(await Promise.all(sockets.map(async socket => (await socket.closed).code))).toEqual(
    sockets.map(() => 1012),
  )
  await using _next = await startWorkers(redis.url, env)
})

test('killed with -9 while it drains, the supervisor leaves no worker behind either', async () => {
  await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '60' })
  using _one = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  using _two = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  service.signal('SIGTERM')
  await service.untilLines('drain.started', 2)
  service.signal('SIGKILL')
  await eventually(() => !service.pids().some(isAlive), 5_000)
})

test('a supervisor that another program started with a channel gives its workers one of their own', async () => {
  const child = Bun.spawn([process.execPath, 'src/main.ts'], {
    cwd: join(import.meta.dir, '../..'),
    env: {
      PATH: process.env['PATH'] ?? '',
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: '0',
      LOG_FORMAT: 'json',
      DRAIN_SECONDS: '0',
      ...workerSettings(redis.url),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ipc: () => {},
  })
  for await (const chunk of child.stdout) if (Buffer.from(chunk).includes('"started"')) break
  child.kill('SIGTERM')
  expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
})
