import { readFileSync } from 'node:fs'
import { publishAll } from '../../src/bus/publisher.ts'
import { busChannel } from '../../src/notification/bus-channel.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { startMembers } from './heartbeats.ts'
import { createLoader, type Loader, type LoadOptions } from './load.ts'
import { type BenchNodes, startNodes } from './nodes.ts'
import { windowOf } from './row.ts'
import { pinLoad, ServerProcess } from './server.ts'

/**
 * `bun test/bench/costs.ts [send|away|apart|live|crowd|small|connect|idle|publish|topics|beats]…` measures the constants of docs/SCALING.md: CPU
 * per operation with 1, 2 and 3 nodes, and that of Redis. Other work on the machine only adds to a cost, so each is the
 * smallest of ROUNDS.
 */

const TIMES = { warm: 4, measure: 3 }
const ROUNDS = 3
const USERS = 1_000
const HELD = 6_000
const HEARTBEAT_SECONDS = 5
const TICKS_PER_SECOND = 100
const MICROSECONDS = 1e6

type Env = Readonly<Record<string, string>>
type Figures = Readonly<Record<string, number>>
const LOG_OFF: Env = { QUEUE_ENABLED: 'false', STORE_URL: 'memory:' }

const shown = (figures: Figures): string =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${value.toPrecision(3)}`)
    .join(', ')

const tell = (name: string, figures: Figures): void => console.log(`${name}: ${shown(figures)}`)

const smallest = (rounds: readonly Figures[]): Figures =>
  Object.fromEntries(
    Object.keys(rounds[0] ?? {}).map(name => [
      name,
      Math.min(...rounds.map(figures => figures[name] ?? Number.NaN)),
    ]),
  )

type Measure = (nodes: BenchNodes) => Promise<Figures | undefined>

async function forCount(
  name: string,
  count: number,
  env: Env,
  hasBus: boolean,
  measure: Measure,
): Promise<void> {
  const rounds: Figures[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await using stack = new AsyncDisposableStack()
    const start = async (options: object = {}) => stack.use(await ServerProcess.start(options))
    const nodes = stack.use(await startNodes({ start }, count, env, hasBus))
    const figures = await measure(nodes)
    if (figures !== undefined) rounds.push(figures)
  }
  tell(`${name}, ${count} ${hasBus ? 'node(s)' : 'without a bus'}`, smallest(rounds))
}

/** Runs with one node without a bus, then with 1, 2 and 3 nodes on the bus. */
async function forNodes(name: string, env: Env, measure: Measure): Promise<void> {
  await forCount(name, 1, env, false, measure)
  for (const count of [1, 2, 3]) await forCount(name, count, env, true, measure)
}

/** User and system time of processes, in seconds. */
function cpuOf(pids: readonly number[]): readonly number[] {
  return pids.map(pid => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  })
}

/** CPU-seconds a second of each process over the next seconds. */
async function atRest({ pids }: BenchNodes, seconds: number): Promise<readonly number[]> {
  const before = cpuOf(pids)
  await Bun.sleep(seconds * 1_000)
  return cpuOf(pids).map((cpu, n) => (cpu - (before[n] ?? 0)) / seconds)
}

/** Splits CPU seconds into those of the nodes and those of Redis, in microseconds for each of `count`. */
function split(cpus: readonly number[], count: number) {
  const redis = cpus.at(-1) ?? Number.NaN
  const nodes = cpus.slice(0, -1).reduce((sum, each) => sum + each, 0)
  return { 'nodes µs': (nodes * MICROSECONDS) / count, 'Redis µs': (redis * MICROSECONDS) / count }
}

/** Less what the processes do without load. Undefined if the run had faults: then its figures mean nothing. */
const flow = async (loader: Loader, nodes: BenchNodes, options: Omit<LoadOptions, 'mode'>) => {
  const rest = await atRest(nodes, 3)
  const loaded = await loader.run(nodes, { ...TIMES, mode: 'flow', ...options })
  const { lost, repeated, refused, dropped } = loaded
  if (lost + repeated + refused + dropped > 0) {
    tell('too much load', { lost, repeated, refused, dropped })
    return undefined
  }
  const { cpus, answered, received, seconds } = windowOf(loaded)
  return { cpus: cpus.map((cpu, n) => cpu - (rest[n] ?? 0) * seconds), answered, received }
}

const send =
  (loader: Loader, clients: number): Measure =>
  async nodes => {
    const load = { clients, users: USERS, target: 'user', senders: 64 } as const
    const flowed = await flow(loader, nodes, load)
    return flowed && split(flowed.cpus, flowed.answered)
  }

const sends = (name: string, clients: number, env: Env) => (loader: Loader) =>
  forNodes(name, env, send(loader, clients))

/** Measures what processes that do not know of each other cost each other on one core. */
async function apart(loader: Loader): Promise<void> {
  for (const count of [2, 3]) await forCount('send to users who are away', count, {}, false, send(loader, 0))
}

const crowd =
  (name: string, subscribers: number, rate: number) =>
  (loader: Loader): Promise<void> =>
    forNodes(`publish to ${name}`, LOG_OFF, async nodes => {
      const clients = subscribers * nodes.ports.length
      const load = { clients, channel: 'bench', target: 'channel', senders: 16 } as const
      const flowed = await flow(loader, nodes, { ...load, ...(rate > 0 && { rate }) })
      if (flowed === undefined) return undefined
      const { cpus, answered, received } = flowed
      return { ...split(cpus, answered), 'nodes µs a delivery': split(cpus, received)['nodes µs'] }
    })

const hold = (loader: Loader, nodes: BenchNodes, clients: number) =>
  loader.run(nodes, { mode: 'hold', warm: 0, measure: 2, clients })

/** Each connection joins the topic of another user. Less what the nodes do in the same time without clients. */
const connects = (loader: Loader): Promise<void> =>
  forNodes('connect', { QUEUE_ENABLED: 'true' }, async nodes => {
    await hold(loader, nodes, USERS)
    const before = cpuOf(nodes.pids)
    await hold(loader, nodes, HELD)
    return split(
      cpuOf(nodes.pids).map((cpu, n) => cpu - (before[n] ?? 0)),
      HELD,
    )
  })

/** Idle nodes, then idle connections that are asked for a sign of life. */
const idle = (loader: Loader): Promise<void> =>
  forNodes('idle', { WEBSOCKET_HEARTBEAT_INTERVAL: String(HEARTBEAT_SECONDS) }, async nodes => {
    await Bun.sleep(2_000)
    const empty = await atRest(nodes, 10)
    const held = awaitedLater(loader.run(nodes, { mode: 'hold', warm: 0, measure: 10, clients: HELD }))
    // Past the connects of the second half of `hold`.
    await Bun.sleep(15_000)
    const full = await atRest(nodes, 2 * HEARTBEAT_SECONDS - 4)
    const { added_kib = Number.NaN, added: clients = Number.NaN } = await held
    const added = split(
      full.map((cpu, n) => cpu - (empty[n] ?? 0)),
      HELD / HEARTBEAT_SECONDS,
    )
    const share = split(empty, MICROSECONDS / 100)
    return {
      'node % of a core': share['nodes µs'] / nodes.ports.length,
      'Redis % of a core': share['Redis µs'],
      'µs a ping': added['nodes µs'],
      'KiB a connection of the first node': (added_kib * nodes.ports.length) / clients,
    }
  })

async function redisFigures(redis: TestRedis, section: string, names: readonly string[]) {
  const info = await redis.client().info(section)
  return names.map(name => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]))
}

const redisCpu = async (redis: TestRedis): Promise<number> =>
  (await redisFigures(redis, 'cpu', ['used_cpu_user', 'used_cpu_sys'])).reduce((sum, each) => sum + each, 0)

/** Messages of 300 bytes to one topic that so many nodes joined, some in one script. */
async function publishes(): Promise<void> {
  await using redis = await startRedis()
  const channel = busChannel(0, userTopic('default', 'user-1'))
  const message = 'x'.repeat(300)
  const client = redis.client()
  let joined = 0
  for (const nodes of [1, 2, 10, 100]) {
    for (; joined < nodes; joined++) await redis.client().subscribe(channel)
    for (const batch of [1, 10, 100]) {
      const messages = Array.from({ length: batch }, () => ({ channel, message, skipsOwn: false }))
      const count = Math.ceil(40_000 / nodes / batch)
      const before = await redisCpu(redis)
      for (let n = 0; n < count; n++) await publishAll({ publisher: client, pulse: 'pulse' }, messages)
      const µs = ((await redisCpu(redis)) - before) * MICROSECONDS
      tell(`publish to ${nodes} node(s), ${batch} in a script`, { 'Redis µs': µs / (count * batch) })
    }
  }
}

/** Memory and CPU of Redis per topic joined by one node, and by a second one. */
async function topics(): Promise<void> {
  const count = 100_000
  await using redis = await startRedis()
  const channels = Array.from({ length: count }, (_, n) => busChannel(0, userTopic('default', `user-${n}`)))
  for (const node of ['first', 'second']) {
    const [memory = 0] = await redisFigures(redis, 'memory', ['used_memory'])
    const cpu = await redisCpu(redis)
    const subscriber = redis.client()
    for (let n = 0; n < count; n += 1_000) await subscriber.subscribe(...channels.slice(n, n + 1_000))
    const µs = ((await redisCpu(redis)) - cpu) * MICROSECONDS
    await Bun.sleep(3_000)
    const [after = 0] = await redisFigures(redis, 'memory', ['used_memory'])
    tell(`topic of the ${node} node`, { 'Redis bytes': (after - memory) / count, 'Redis µs': µs / count })
  }
}

/** Heartbeats of members that do nothing else, all in this process. */
async function beats(): Promise<void> {
  for (const count of [1, 3, 10, 100]) {
    await using redis = await startRedis()
    await using members = startMembers(redis, count)
    while (members.known() < count - 1) await Bun.sleep(100)
    await Bun.sleep(5_000)
    const [own, of, received] = [process.cpuUsage(), await redisCpu(redis), members.messages.in]
    await Bun.sleep(10_000)
    const { user, system } = process.cpuUsage(own)
    tell(`heartbeats of ${count} node(s)`, {
      'node % of a core': ((user + system) / MICROSECONDS / 10 / count) * 100,
      'Redis % of a core': (((await redisCpu(redis)) - of) / 10) * 100,
      'received by a node a second': (members.messages.in - received) / 10 / count,
    })
  }
}

const PARTS: Readonly<Record<string, (loader: Loader) => Promise<void>>> = {
  send: sends('send to connected users', USERS, {}),
  away: sends('send to users who are away', 0, {}),
  apart,
  live: sends('send to connected users, log off', USERS, LOG_OFF),
  crowd: crowd('1,000 subscribers a node', 1_000, 20),
  small: crowd('10 subscribers a node', 10, 0),
  connect: connects,
  idle,
  publish: publishes,
  topics,
  beats,
}

const names = process.argv.slice(2)
const unknown = names.filter(name => PARTS[name] === undefined)
if (unknown.length > 0) throw new Error(`usage: bun test/bench/costs.ts [${Object.keys(PARTS).join('|')}]…`)
console.log(pinLoad())
await using loader = await createLoader('any')
for (const [name, measure] of Object.entries(PARTS))
  if (names.length === 0 || names.includes(name)) await measure(loader)
