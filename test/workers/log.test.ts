import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { API_KEY, SECRET } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { createFifo } from '../support/fifo.ts'
import { freePort } from '../support/free-port.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'
import { startWorkers, workerSettings } from '../support/workers.ts'

setDefaultTimeout(60_000)

let redis: TestRedis
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = await mkdtemp(join(tmpdir(), 'ara-workers-log-'))
})
afterAll(async () => {
  await redis[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

test('lines of all workers come whole, each with its node', async () => {
  await using service = await startWorkers(redis.url, {
    WORKERS: '3',
    LOG_LEVEL: 'debug',
    DRAIN_SECONDS: '0',
    WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
  })
  // Long enough that a pipe takes a line in several pieces.
  const users = Array.from({ length: 40 }, (_, n) => `${n}-${'u'.repeat(250)}`)
  await Promise.all(
    users.map(async user => {
      for (let n = 0; n < 5; n++) {
        const socket = await connectSocket(`${service.url}/ws?token=${await service.token(user)}`)
        socket.close()
        await socket.closed
      }
    }),
  )
  service.signal('SIGTERM')
  const { stdout } = await service.ended
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  for (const event of ['connection.opened', 'connection.closed']) {
    const those = lines.filter(line => line.event === event)
    expect([event, those.length]).toEqual([event, 200])
    expect([...new Set(those.map(({ node }) => node))].sort()).toEqual(['n-1', 'n-2', 'n-3'])
    expect(new Set(those.map(({ user }) => user))).toEqual(new Set(users))
  }
})

test('a reader of the log that stops delays no request, and costs lines that are counted', async () => {
  const fifo = createFifo(folder)
  fifo.fill()
  const port = await freePort()
  const child = Bun.spawn([process.execPath, 'src/main.ts'], {
    cwd: join(import.meta.dir, '../..'),
    env: {
      PATH: process.env['PATH'] ?? '',
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: String(port),
      JWT_SECRET: SECRET,
      API_KEY,
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'debug',
      DRAIN_SECONDS: '0',
      ...workerSettings(redis.url),
    },
    stdin: 'ignore',
    stdout: fifo.writeEnd,
    stderr: 'pipe',
  })
  const url = `http://127.0.0.1:${port}`
  const ask = (path: string) => fetch(url + path, { headers: { connection: 'close' } })
  await eventually(() =>
    ask('/health/ready').then(
      ({ status }) => status === 200,
      () => false,
    ),
  )
  const dropped = async () => (await scrape({ url })).value('ara_log_lines_dropped_total')
  const askMany = async () => {
    const asked = Array.from({ length: 20 }, () => ask('/api/v1/channels'))
    return new Set(await Promise.all(asked.map(async answer => (await answer).status)))
  }
  expect(await askMany()).toEqual(new Set([401]))
  fifo.closeReadEnd()
  await eventually(async () => {
    expect(await askMany()).toEqual(new Set([401]))
    return (await dropped()) > 0
  })
  child.kill('SIGTERM')
  expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
  fifo.close()
})
