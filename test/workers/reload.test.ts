import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { API_KEY } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { keptCaller } from '../support/caller.ts'
import { connectSocket, connectStream, type Message } from '../support/client.ts'
import { scrape } from '../support/metrics.ts'
import { startNginx } from '../support/nginx.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { type Program, spawnService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'
import { getJson, isAlive, nodesOf, startWorkers, type WorkerService } from '../support/workers.ts'

setDefaultTimeout(90_000)

const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '10000', STORE_URL: 'redis:' }

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

/** Client that resumes by cursor whenever its connection ends, and counts what goes wrong. */
async function resumingClient(service: WorkerService, user: string) {
  const token = await service.token(user)
  const got = new Set<number>()
  const faults = { duplicates: 0, inversions: 0, refused: 0, unrecovered: 0, sentAway: 0 }
  const codes: number[] = []
  let cursor = ''
  let isOver = false
  const visit = async (): Promise<void> => {
    const url = `${service.url}/ws?token=${token}&cursor=${encodeURIComponent(cursor)}`
    const socket = await connectSocket(url)
    let last = 0
    const hear = (message: Message): void => {
      if (message.type === 'connected' && cursor !== '' && !message.recovered) faults.unrecovered++
      if (message.type === 'shutdown' && message.reconnect_after_seconds !== 1) faults.sentAway++
      if (message.type !== 'notification') return
      const seq = Number(message.cursor.split(':')[1])
      if (seq === last) faults.duplicates++
      if (seq < last) faults.inversions++
      last = seq
      cursor = message.cursor
      got.add(message.payload)
    }
    const read = async (): Promise<void> => {
      for (;;) hear(await socket.next())
    }
    void read().catch(() => {})
    codes.push((await socket.closed).code)
  }
  const live = async (): Promise<void> => {
    while (!isOver)
      await visit().catch(() => {
        faults.refused++
      })
  }
  void live()
  return {
    got,
    faults,
    codes,
    end: () => {
      isOver = true
    },
  }
}

interface Load {
  readonly accepted: Set<number>
  /** Answers other than 200, and requests whose connection broke. */
  readonly failed: string[]
  attempts: number
}

test('a SIGHUP replaces every worker under load: no send is refused, none is lost, sockets move', async () => {
  await using service = await startWorkers(redis.url, { ...LOG, DRAIN_SECONDS: '2' })
  const before = service.pids()
  let isOver = false

  /** About 20 sends a second; every second caller has a connection for each, one is idle for longer. */
  const load = async (user: string, n: number): Promise<Load> => {
    const made: Load = { accepted: new Set(), failed: [], attempts: 0 }
    const headers = { 'x-api-key': API_KEY }
    using caller = keptCaller({ port: service.port, headers, keepsAlive: n % 2 === 0 })
    while (!isOver) {
      const payload = made.attempts++
      const body = { target_user_id: user, event_type: 'e', payload }
      const { status, text } = await caller.post('/api/v1/notifications/send', body)
      if (status === 200) made.accepted.add(payload)
      else made.failed.push(`${status} ${text}`)
      await Bun.sleep(n === 2 ? 400 : 50)
    }
    return made
  }

  const users = Array.from({ length: 4 }, () => crypto.randomUUID())
  const clients = await Promise.all(users.map(user => resumingClient(service, user)))
  const loads = awaitedLater(users.map(load))
  for (let n = 1; n <= 2; n++) {
    service.signal('SIGHUP')
    await service.untilLines('workers.reloaded', n)
  }
  isOver = true
  const made = await Promise.all(loads)

  // A machine that is too busy for its Redis refuses sends, reload or not.
  const isBusy = service.lines.some(({ event }) => /^(?:bus|store)\.(?:lost|away)/.test(event))
  const failed = made.flatMap(each => each.failed).filter(each => !(isBusy && each.startsWith('503')))
  expect(failed).toEqual([])
  for (const [n, { got, faults, codes, end }] of clients.entries()) {
    const { accepted, attempts } = made[n] ?? { accepted: new Set<number>(), attempts: 0 }
    await eventually(() => accepted.isSubsetOf(got))
    end()
    expect([...got].filter(payload => payload >= attempts)).toEqual([])
    expect(faults).toEqual({ duplicates: 0, inversions: 0, refused: 0, unrecovered: 0, sentAway: 0 })
    expect(new Set(codes)).toEqual(new Set([1012]))
  }
  expect(before.filter(isAlive)).toEqual([])
  expect(service.linesOf('worker.started')).toHaveLength(6)
  expect(service.linesOf('worker.ended').map(({ code }) => code)).toEqual([0, 0, 0, 0])
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  expect((await getJson(service, '/health')).workers).toEqual({ running: 2, configured: 2 })
})

test('the new worker serves before the old one drains, and one follows the other', async () => {
  await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '1' })
  service.signal('SIGHUP')
  // A second one meanwhile is not lost, and does not mix with the first.
  await service.untilLines('drain.started', 1)
  service.signal('SIGHUP')
  await service.untilLines('workers.reloaded', 2)
  // Lines of several processes come in any order; their times tell.
  await service.untilLines('bus.connected', 6)
  await service.untilLines('drain.ended', 4)
  const times = (node: string, event: string) =>
    service.linesOf(event).flatMap(line => (line.node === node ? [line.ts] : []))
  const steps = [0, 1].flatMap(round =>
    ['n-1', 'n-2'].flatMap(node => [
      times(node, 'bus.connected')[round + 1],
      times(node, 'drain.started')[round],
      times(node, 'drain.ended')[round],
    ]),
  )
  expect(steps).toEqual(steps.toSorted())
  expect(steps).not.toContain(undefined)
})

test('new sockets are never refused while workers are replaced', async () => {
  await using service = await startWorkers(redis.url, {
    DRAIN_SECONDS: '0',
    WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
  })
  const url = `${service.url}/ws?token=${await service.token('u')}&cursor=`
  let isOver = false
  const outcomes = new Map<string, number>()
  const connect = async (): Promise<void> => {
    const outcome = await connectSocket(url).then(
      async socket => {
        await socket.next()
        socket.close()
        return 'connected'
      },
      error => String(error),
    )
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  const load = async (): Promise<void> => {
    while (!isOver) await connect()
  }
  const loads = awaitedLater(Array.from({ length: 4 }, load))
  for (let n = 1; n <= 2; n++) {
    service.signal('SIGHUP')
    await service.untilLines('workers.reloaded', n)
  }
  isOver = true
  await Promise.all(loads)
  expect([...outcomes.keys()]).toEqual(['connected'])
  expect(outcomes.get('connected')).toBeGreaterThan(100)
})

test('entries of a stream are dispatched once each while workers are replaced', async () => {
  const name = `entries-${crypto.randomUUID()}`
  await using service = await startWorkers(redis.url, { REDIS_STREAM: name, DRAIN_SECONDS: '0' })
  const client = redis.client()
  const data = JSON.stringify({ type: 'broadcast', event: { event_type: 'e', payload: 1 } })
  let added = 0
  let isOver = false
  const produce = async (): Promise<void> => {
    while (!isOver) {
      // A slow machine must not get more than it can read.
      const [count, pauseMs] = added < 5_000 ? [20, 10] : [1, 100]
      const some = client.pipeline()
      for (let n = 0; n < count; n++) some.call('XADD', name, '*', 'data', data)
      await some.exec()
      added += count
      await Bun.sleep(pauseMs)
    }
  }
  const producing = awaitedLater(produce())
  service.signal('SIGHUP')
  await service.untilLines('workers.reloaded', 1)
  isOver = true
  await producing
  const accepted = async () =>
    (await scrape(service)).value('ara_redis_stream_messages_total{result="accepted"}')
  await eventually(async () => (await accepted()) >= added, 60_000)
  // After a lost connection an entry may be read again.
  const isLost = service.linesOf('redis.lost').length > 0
  expect(await accepted()).toBeWithin(added, isLost ? Number.POSITIVE_INFINITY : added + 1)
})

test('behind nginx as documented, a reload costs neither a send nor a new stream', async () => {
  await using service = await startWorkers(redis.url, {
    DRAIN_SECONDS: '0',
    WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
  })
  await using proxy = await startNginx([service.port])
  const token = await service.token('u')
  const outcomes = new Map<string, number>()
  const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  let isOver = false
  const sends = async (): Promise<void> => {
    const headers = { 'x-api-key': API_KEY }
    using caller = keptCaller({ port: proxy.port, headers, keepsAlive: true })
    while (!isOver) {
      const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
      count(`send ${(await caller.post('/api/v1/notifications/send', body)).status}`)
      await Bun.sleep(20)
    }
  }
  const streams = async (): Promise<void> => {
    while (!isOver) {
      const stream = await connectStream(`${proxy.url}/sse?token=${token}`)
      // The documented error page would be an empty stream.
      count((await stream.next()).event ?? 'empty')
      stream.close()
      await Bun.sleep(20)
    }
  }
  const loads = awaitedLater([sends(), sends(), streams(), streams()])
  service.signal('SIGHUP')
  await service.untilLines('workers.reloaded', 1)
  isOver = true
  await Promise.all(loads)
  expect([...outcomes.keys()].sort()).toEqual(['connected', 'send 200'])
})

/** Runs the sources in a folder with a `.env`. */
async function inFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'ara-reload-'))
  const program: Program = {
    command: [process.execPath, join(import.meta.dir, '../../src/main.ts')],
    cwd: folder,
  }
  return {
    program,
    write: (env: Record<string, string>) =>
      Bun.write(
        join(folder, '.env'),
        Object.entries(env)
          .map(([name, value]) => `${name}=${value}\n`)
          .join(''),
      ),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

test('a SIGHUP applies new values of the .env file; those of the port and the number need a restart', async () => {
  await using folder = await inFolder()
  await folder.write({ CHANNEL_ACCESS: 'open', DRAIN_SECONDS: '0', METRICS_KEY: '' })
  await using service = await startWorkers(redis.url, {}, folder.program)
  const metrics = async () => (await fetch(`${service.url}/metrics`)).status
  expect(await metrics()).toBe(200)
  await folder.write({ CHANNEL_ACCESS: 'claims', DRAIN_SECONDS: '0', METRICS_KEY: 'k', INTERNAL_PORT: '1' })
  service.signal('SIGHUP')
  await service.untilLines('workers.reloaded', 1)
  expect(await metrics()).toBe(401)
  expect(service.linesOf('worker.started').at(2)?.settings).toMatchObject({ CHANNEL_ACCESS: 'claims' })
  expect(service.linesOf('start.warning').map(({ warning }) => warning)).toContain(
    'INTERNAL_PORT has changed: restart the service to apply it, a reload does not',
  )
})

test('a SIGHUP with invalid settings changes nothing, and the log says why', async () => {
  await using folder = await inFolder()
  await folder.write({ DRAIN_SECONDS: '0' })
  await using service = await startWorkers(redis.url, {}, folder.program)
  await folder.write({ DRAIN_SECONDS: 'soon' })
  service.signal('SIGHUP')
  const reason = 'DRAIN_SECONDS: expected whole seconds from 0 to 3600'
  expect(await service.untilLines('workers.reload_failed', 1)).toMatchObject([{ worker: 1, reason }])
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  // A worker that ends now cannot come back: the other one goes on.
  process.kill(service.pidOf(1), 'SIGKILL')
  await service.untilLines('worker.restarting', 3)
  expect(await nodesOf(service, 5)).toEqual(['n-2'])
  await folder.write({ DRAIN_SECONDS: '0' })
  await service.untilLines('worker.started', 3)
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  service.signal('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
})

test('a SIGTERM during a reload ends all processes', async () => {
  await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '1' })
  using _socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  service.signal('SIGHUP')
  await service.untilLines('drain.started', 1)
  service.signal('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  expect(service.pids().filter(isAlive)).toEqual([])
})

test('without WORKERS a SIGHUP ends the process, as it ends any program', async () => {
  const child = spawnService({})
  for await (const chunk of child.stdout) if (Buffer.from(chunk).includes('"started"')) break
  child.kill('SIGHUP')
  await child.exited
  expect(child.signalCode).toBe('SIGHUP')
})
