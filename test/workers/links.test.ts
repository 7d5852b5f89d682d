import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandom } from '../support/random.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'
import { getJson, startWorkers, type WorkerService } from '../support/workers.ts'
import { countFaults, NO_FAULTS, type NotificationStream, startStream } from './stream.ts'

setDefaultTimeout(90_000)

const seed = Number(process.env['FAULT_SEED'] ?? Math.floor(Math.random() * 1e6))
const LOG_OFF = { QUEUE_ENABLED: 'false', STORE_URL: 'memory:', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' }
const USERS = Array.from({ length: 12 }, (_, n) => `u${n}`)

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

const openStream = (to: () => readonly Service[]): NotificationStream =>
  startStream({ to, users: USERS, senders: 6, random: createRandom(seed) })

const connectAll = (stream: NotificationStream, service: Service, users = USERS) =>
  Promise.all(users.map(user => stream.connect(service, user)))

/** PUBLISH commands so far. */
async function published(): Promise<number> {
  const stats = await redis.client().info('commandstats')
  return Number(/cmdstat_publish:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

/** Resolves when the workers no longer publish their heartbeats in Redis: they use their links. */
async function untilLinked(): Promise<void> {
  await eventually(async () => {
    const before = await published()
    await Bun.sleep(500)
    // One check of the connection per second and worker remains.
    return (await published()) - before <= 3
  }, 20_000)
}

const isReady = async ({ url }: Service): Promise<boolean> =>
  (await fetch(`${url}/health/ready`, { headers: { connection: 'close' } }).catch(() => undefined))?.ok ===
  true

test(`sends, channels and broadcasts reach users on siblings once and in order, counted, and Redis carries no sends (FAULT_SEED=${seed})`, async () => {
  await using service = await startWorkers(redis.url, { ...LOG_OFF, WORKERS: '3' })
  await untilLinked()
  const stream = openStream(() => [service])
  await connectAll(stream, service)
  const [before, from] = [await published(), stream.accepted.length]
  const first = stream.accepted.length
  await stream.untilAccepted(500)
  const carried = (await published()) - before
  await stream.stop()
  expect(await countFaults(stream)).toEqual(NO_FAULTS)
  expect(stream.refusals).toEqual([])
  for (const { kind, deliveredTo } of stream.accepted.slice(first + 6))
    expect(deliveredTo).toBe(kind === 'send' ? 1 : USERS.length)
  const toCrowds = stream.accepted.slice(from).filter(({ kind }) => kind !== 'send').length
  expect(carried).toBeLessThan(toCrowds + (stream.accepted.length - from) / 4)
})

test(`a node starts on the same Redis during a stream: no client loses, repeats or reorders anything once it is subscribed (FAULT_SEED=${seed})`, async () => {
  await using service = await startWorkers(redis.url, LOG_OFF)
  await untilLinked()
  const nodes: Service[] = [service]
  const stream = openStream(() => nodes)
  await connectAll(stream, service)
  await stream.untilAccepted(100)
  await using other = await startService({
    ...LOG_OFF,
    NODE_ID: 'other',
    BUS_URL: 'redis:',
    REDIS_URL: redis.url,
  })
  await eventually(() => isReady(other), 20_000)
  await connectAll(stream, other)
  await stream.untilAccepted(200)
  nodes.push(other)
  await stream.untilAccepted(200)
  await stream.stop()
  expect(await countFaults(stream)).toEqual(NO_FAULTS)
  expect(stream.refusals).toEqual([])
})

/** Plays a fault during a stream, then checks that everything works again. */
async function playFault(
  disturb: (service: WorkerService, stream: NotificationStream) => Promise<void>,
  env: Record<string, string> = {},
) {
  await using service = await startWorkers(redis.url, { ...LOG_OFF, ...env })
  await untilLinked()
  const stream = openStream(() => [service])
  await connectAll(stream, service)
  await stream.untilAccepted(100)
  await disturb(service, stream)
  await eventually(
    async () => (await getJson(service, '/health')).workers.running === Number(env['WORKERS'] ?? 2),
    20_000,
  )
  await untilLinkedUnder(stream)
  // Accepted before: a worker may have taken it along.
  const settled = new Set(stream.accepted)
  await connectAll(stream, service)
  await stream.untilAccepted(200)
  await stream.stop()
  return { faults: await countFaults(stream, each => settled.has(each)), service, stream }
}

/** The stream goes on: wait until Redis carries less than the stream. */
async function untilLinkedUnder(stream: NotificationStream): Promise<void> {
  await eventually(async () => {
    const [before, from] = [await published(), stream.accepted.length]
    await stream.untilAccepted(50)
    // Two fifths of the stream go to crowds, through Redis.
    return (await published()) - before < ((stream.accepted.length - from) * 3) / 4
  }, 30_000)
}

test(`a worker is killed with -9: nothing is repeated or reordered, and its successor is linked (FAULT_SEED=${seed})`, async () => {
  const { faults } = await playFault(async service => {
    process.kill(service.pidOf(1), 'SIGKILL')
    await service.untilLines('worker.started', 3)
  })
  expect(faults).toEqual(NO_FAULTS)
})

test(`a worker is frozen for 4 s and wakes: nothing is repeated or reordered, and sends go on meanwhile (FAULT_SEED=${seed})`, async () => {
  const { faults } = await playFault(
    async (service, stream) => {
      const pid = service.pidOf(2)
      process.kill(pid, 'SIGSTOP')
      try {
        await stream.untilAccepted(20)
        await Bun.sleep(4_000)
      } finally {
        process.kill(pid, 'SIGCONT')
      }
    },
    { WORKERS: '3' },
  )
  expect(faults).toEqual(NO_FAULTS)
})

test(`all workers are replaced by SIGHUP: no send is refused, nothing is repeated or reordered (FAULT_SEED=${seed})`, async () => {
  const { faults, stream } = await playFault(
    async service => {
      service.signal('SIGHUP')
      await service.untilLines('workers.reloaded', 1)
    },
    { DRAIN_SECONDS: '1' },
  )
  expect(faults).toEqual(NO_FAULTS)
  expect(stream.refusals).toEqual([])
})

test(`Redis is killed and comes back: sends are refused meanwhile, nothing is repeated or reordered (FAULT_SEED=${seed})`, async () => {
  const { faults, stream } = await playFault(async (service, stream) => {
    await redis.kill()
    await eventually(async () => !(await isReady(service)), 5_000)
    await eventually(() => stream.refusals.includes(503), 5_000)
    await redis.restart()
    await eventually(() => isReady(service), 20_000)
  })
  expect(faults).toEqual(NO_FAULTS)
  expect(new Set(stream.refusals)).toEqual(new Set([503]))
})

test('the sockets lie in a directory of the service, which is gone after its end', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ara-tmp-'))
  try {
    await using service = await startWorkers(redis.url, { ...LOG_OFF, TMPDIR: directory })
    const [name = ''] = readdirSync(directory)
    expect(readdirSync(join(directory, name))).toHaveLength(2)
    service.signal('SIGTERM')
    expect((await service.ended).code).toBe(0)
    expect(existsSync(join(directory, name))).toBe(false)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('without a place for sockets the workers say so once and use Redis', async () => {
  await using service = await startWorkers(redis.url, { ...LOG_OFF, TMPDIR: '/nonexistent' })
  const stream = openStream(() => [service])
  await connectAll(stream, service)
  await stream.untilAccepted(50)
  await stream.stop()
  expect(await countFaults(stream)).toEqual(NO_FAULTS)
  expect(service.linesOf('workers.no_links')).toHaveLength(1)
})
