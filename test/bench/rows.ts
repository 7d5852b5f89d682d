import { signToken } from '../../src/auth/sign.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { startRedis } from '../support/redis.ts'
import { openCallers } from './callers.ts'
import { openClients, type Received } from './clients.ts'
import { JWT_SECRET, ServerProcess, type Side } from './server.ts'

/** Milliseconds of load: first unmeasured, for the just-in-time compiler, then measured. */
export interface Times {
  readonly warmMs: number
  readonly measuredMs: number
}

/** Figures of one run by name, and how many notifications did not arrive or arrived twice. */
export interface Run {
  readonly figures: Readonly<Record<string, number>>
  readonly lost: number
}

/** What ours must reach, as ours / control. */
interface Goal {
  readonly figure: string
  readonly is: 'at least' | 'at most'
  readonly ratio: number
}

export interface Row {
  readonly name: string
  readonly goals: readonly Goal[]
  run(side: Side, times: Times): Promise<Run>
}

const CALLERS = 64
const PUBLISHERS = 16
const DELIVERIES_PER_SECOND = 50_000
const USERS = 1_000
/** What a log holds by default. */
const ENTRIES = 100
const FILLER = 'x'.repeat(180)
const SETTLE_LIMIT_MS = 5_000
/** Messages on their way through Redis at any moment. */
const WINDOW = 2_000

async function tokensOf(count: number): Promise<readonly string[]> {
  const users = Array.from({ length: count }, (_, n) => `user-${n}`)
  return Promise.all(
    users.map(user => signToken({ secret: JWT_SECRET, user, seconds: 3_600, clock: systemClock })),
  )
}

/** How many frames are missing when nothing more comes; below zero: too many came. One lost and one twice look like none. */
async function lostOf(received: Received, expected: number): Promise<number> {
  const limit = performance.now() + SETTLE_LIMIT_MS
  while (received.frames < expected && performance.now() < limit) await Bun.sleep(10)
  await Bun.sleep(50)
  return expected - received.frames
}

/** What was counted, and the server's CPU, over the measured part of a load that is already running. */
async function measure(server: ServerProcess, count: () => number, { warmMs, measuredMs }: Times) {
  await Bun.sleep(warmMs)
  const [cpu, counted, startedAt] = [server.cpuMs(), count(), performance.now()]
  await Bun.sleep(measuredMs)
  const seconds = (performance.now() - startedAt) / 1000
  const cpuSeconds = (server.cpuMs() - cpu) / 1000
  const done = count() - counted
  return { perSecond: done / seconds, perCpuSecond: done / cpuSeconds, cpuMicros: (cpuSeconds * 1e6) / done }
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN
}

const content = `"event_type":"bench","payload":{"text":"${FILLER}"}`

/** Users in turn. */
const toNext = (n: number) => ({ path: 'send', body: `{"target_user_id":"user-${n % USERS}",${content}}` })

const toUser = (user: string): string => `{"type":"user","target":"${user}","event":{${content}}}`

/** `POST /send` in a closed loop to users in turn, connected or away. */
const send = (name: string, away: boolean, log: boolean, ratio: number): Row => ({
  name,
  goals: [
    { figure: 'requests/s', is: 'at least', ratio },
    { figure: 'requests per CPU-second', is: 'at least', ratio },
  ],
  run: async (side, times) => {
    await using server = await ServerProcess.start(side, { QUEUE_ENABLED: String(log) })
    const tokens = away ? [] : await tokensOf(USERS)
    using clients = await openClients({ port: server.port, transport: 'ws', tokens })
    using callers = await openCallers(server.port, CALLERS)
    let n = 0
    let isOver = false
    const load = callers.run(
      () => toNext(n++),
      () => isOver,
    )
    const { perSecond, perCpuSecond } = await measure(server, () => callers.answered, times)
    isOver = true
    await load
    const lost = away ? 0 : await lostOf(clients.received, callers.answered)
    return { figures: { 'requests/s': perSecond, 'requests per CPU-second': perCpuSecond }, lost }
  },
})

/** WebSockets hear a channel; a stream, which can hold none, a broadcast. */
const crowdOf = (transport: 'ws' | 'sse') =>
  transport === 'ws'
    ? { family: 'fan-out', path: 'channel', target: '"channel":"bench",', subscribed: true }
    : { family: 'sse', path: 'broadcast', target: '', subscribed: false }

/** Evenly paced publishes, 50,000 deliveries a second in all. */
const fanOut = (transport: 'ws' | 'sse', count: number, goals: readonly Goal[]): Row => ({
  name: `${crowdOf(transport).family}-${count}`,
  goals,
  run: async (side, times) => {
    await using server = await ServerProcess.start(side, {})
    const tokens = await tokensOf(count)
    const { path, target, subscribed } = crowdOf(transport)
    using clients = await openClients({ port: server.port, transport, tokens, subscribed })
    using callers = await openCallers(server.port, CALLERS)
    const next = () => ({
      path,
      body: `{${target}"event_type":"bench","payload":{"at":${performance.now().toFixed(3)},"text":"${FILLER}"}}`,
    })
    const load = callers.pace(next, DELIVERIES_PER_SECOND / count, times.warmMs + times.measuredMs)
    const { cpuMicros } = await measure(server, () => clients.received.frames, times)
    await load
    const lost = await lostOf(clients.received, callers.answered * count)
    const { latencies } = clients.received
    const measured = latencies.slice(
      Math.floor((latencies.length * times.warmMs) / (times.warmMs + times.measuredMs)),
    )
    return {
      figures: {
        'CPU µs per delivery': cpuMicros,
        'p50 ms': percentile(measured, 0.5),
        'p99 ms': percentile(measured, 0.99),
      },
      lost,
    }
  },
})

const paced: readonly Goal[] = [
  { figure: 'CPU µs per delivery', is: 'at most', ratio: 1.15 },
  { figure: 'p50 ms', is: 'at most', ratio: 1.2 },
  { figure: 'p99 ms', is: 'at most', ratio: 1.3 },
]

/** 16 publishers in a closed loop, 1,000 clients. */
const saturated = (transport: 'ws' | 'sse'): Row => ({
  name: `${crowdOf(transport).family}-saturated`,
  goals: [{ figure: 'deliveries per CPU-second', is: 'at least', ratio: 0.8 }],
  run: async (side, times) => {
    await using server = await ServerProcess.start(side, {})
    const tokens = await tokensOf(USERS)
    const { path, target, subscribed } = crowdOf(transport)
    using clients = await openClients({ port: server.port, transport, tokens, subscribed })
    using callers = await openCallers(server.port, PUBLISHERS)
    let isOver = false
    const load = callers.run(
      () => ({ path, body: `{${target}${content}}` }),
      () => isOver,
    )
    const { perCpuSecond } = await measure(server, () => clients.received.frames, times)
    isOver = true
    await load
    const lost = await lostOf(clients.received, callers.answered * USERS)
    return { figures: { 'deliveries per CPU-second': perCpuSecond }, lost }
  },
})

/** 5,000 connects, a token each. */
const connect: Row = {
  name: 'connect',
  goals: [{ figure: 'connects/s', is: 'at least', ratio: 0.45 }],
  run: async side => {
    await using server = await ServerProcess.start(side, {})
    const tokens = await tokensOf(5_000)
    const startedAt = performance.now()
    using _ = await openClients({ port: server.port, transport: 'ws', tokens })
    return { figures: { 'connects/s': (tokens.length * 1000) / (performance.now() - startedAt) }, lost: 0 }
  },
}

/** 1,000 users come back, each to 100 notifications that wait for them. What the connects cost is in it, on both sides. */
const replay: Row = {
  name: 'replay',
  goals: [{ figure: 'entries per CPU-second', is: 'at least', ratio: 0.5 }],
  run: async side => {
    await using server = await ServerProcess.start(side, { QUEUE_ENABLED: 'true' })
    using callers = await openCallers(server.port, CALLERS)
    const total = USERS * ENTRIES
    let n = 0
    await callers.run(
      () => toNext(n++),
      () => n >= total,
    )
    const cpu = server.cpuMs()
    const tokens = await tokensOf(USERS)
    using clients = await openClients({ port: server.port, transport: 'ws', tokens })
    const lost = await lostOf(clients.received, total)
    return { figures: { 'entries per CPU-second': (total * 1000) / (server.cpuMs() - cpu) }, lost }
  },
}

/** What 10,000 idle connections add to the process. */
const memory = (transport: 'ws' | 'sse'): Row => ({
  name: `memory-${transport}`,
  goals: [{ figure: 'KiB per connection', is: 'at most', ratio: 1.5 }],
  run: async (side, { measuredMs }) => {
    await using server = await ServerProcess.start(side, {})
    const tokens = await tokensOf(10_000)
    const before = server.residentKb()
    using _ = await openClients({ port: server.port, transport, tokens })
    await Bun.sleep(measuredMs)
    return { figures: { 'KiB per connection': (server.residentKb() - before) / tokens.length }, lost: 0 }
  },
})

/** Messages for connected users from Redis, as many on their way as keeps the server busy. */
const redis: Row = {
  name: 'redis',
  goals: [{ figure: 'messages/s', is: 'at least', ratio: 0.65 }],
  run: async (side, times) => {
    await using source = await startRedis()
    await using server = await ServerProcess.start(side, { REDIS_URL: source.url })
    using clients = await openClients({ port: server.port, transport: 'ws', tokens: await tokensOf(USERS) })
    const { received } = clients
    const publisher = source.client()
    while ((await publisher.publish('notification:user:nobody', toUser('nobody'))) === 0) await Bun.sleep(20)
    let sent = 0
    let isOver = false
    const publish = async (): Promise<void> => {
      while (!isOver) {
        const room = WINDOW - (sent - received.frames)
        const batch = publisher.pipeline()
        for (let n = 0; n < room; n++, sent++) {
          const user = `user-${sent % USERS}`
          batch.publish(
            `notification:user:${user}`,
            `{"type":"user","target":"${user}","event":{${content}}}`,
          )
        }
        await batch.exec()
        await new Promise(setImmediate)
      }
    }
    const load = publish()
    const { perSecond, perCpuSecond } = await measure(server, () => received.frames, times)
    isOver = true
    await load
    const lost = await lostOf(received, sent)
    return { figures: { 'messages/s': perSecond, 'messages per CPU-second': perCpuSecond }, lost }
  },
}

export const ROWS: readonly Row[] = [
  fanOut('ws', 1_000, paced),
  fanOut('ws', 5_000, paced),
  fanOut('ws', 10_000, paced),
  saturated('ws'),
  fanOut('sse', 1_000, paced.slice(0, 1)),
  fanOut('sse', 5_000, paced.slice(0, 1)),
  saturated('sse'),
  send('send', false, false, 0.65),
  send('send-log', false, true, 0.5),
  send('send-away', true, true, 0.6),
  replay,
  connect,
  memory('ws'),
  memory('sse'),
  redis,
]
