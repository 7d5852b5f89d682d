/** Does the work of `load.c` on machines without a compiler. It uses more CPU and reports its busy share. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'bun'
import type { Loaded, Window } from '../load.ts'
import { type Chunks, dechunk, firstEvent, firstFrame, frameOf, PING, PONG, TEXT } from './wire.ts'

const AT_ONCE = 64
const FILLER = 'x'.repeat(151)
const FLOOD = 'x'.repeat(32_768)
const FLOODS_PER_SECOND = 100
const STUCK_MS = 1_500
const GIVE_UP_MS = 60_000
const SETTLE_MS = 5_000
const TICKS_PER_SECOND = 100
const CONTENT_LENGTH = /\r\ncontent-length: ?(\d+)/i
const NOTHING = Buffer.alloc(0)

const told = new Map(process.argv.slice(2).map(pair => pair.split(/=(.*)/s, 2) as [string, string]))
const text = (name: string, otherwise = ''): string => told.get(name) ?? otherwise
const number = (name: string, otherwise = 0): number => Number(told.get(name) ?? otherwise)

const numbers = (name: string): readonly number[] => text(name).split(',').filter(Boolean).map(Number)

const [ports, pids] = [numbers('port'), numbers('pid')]
const [firstPort = 0, firstPid = 0] = [ports[0], pids[0]]
const host = text('host', '127.0.0.1')
const transport = text('transport', 'ws')
const isCentrifugo = transport === 'centrifugo'
const channel = text('channel')
const target = text('target', 'channel')
const acks = number('acks') > 0
const senderCount = number('senders', 1)
const clientCount = number('clients')
const idleCount = number('idle')
const stride = number('stride', 1)
const users = number('users') || clientCount
const isByUser = target === 'user' || target === 'redis'
const lanes = isByUser ? 1 : senderCount
const tokens = readFileSync(text('tokens'), 'utf8').split('\n')
const greeting = isCentrifugo ? '"connect"' : transport === 'sse' ? '"connected"' : ''
const readyWord = channel !== '' && !isCentrifugo ? '"subscribed"' : greeting
const refusalWord = isCentrifugo ? '"error":' : '"type":"error"'
const successWord = isCentrifugo ? '"result"' : '"success":true'

const counted = { received: 0, answered: 0, connected: 0 }
const faults = { lost: 0, repeated: 0, refused: 0, dropped: 0 }
/** Lane, or user if users are addressed. */
const sent = new Uint32Array(users + lanes)
let sentTotal = 0
let isSending = false
let isStuck = false
let latencies: number[] | undefined

function die(why: string): never {
  process.stderr.write(`loader: ${why}\n`)
  process.exit(1)
}

async function until(holds: () => boolean, ms: number): Promise<boolean> {
  for (const limit = performance.now() + ms; !holds(); await Bun.sleep(1))
    if (performance.now() > limit) return false
  return true
}

interface Client {
  readonly user: number
  /** Channels to subscribe to; none for idle clients. */
  readonly channel: string
  /** True for idle and flooded clients, which only disturb. */
  readonly isCounted: boolean
  /** Next expected number by lane. */
  readonly next: Uint32Array
  state: 'away' | 'calling' | 'greeted' | 'ready'
  rest: Buffer
  chunks: Chunks
  socket: Socket<Client> | undefined
}

const clientOf = (user: number, isCounted: boolean, own: string): Client => ({
  user,
  channel: own,
  isCounted,
  next: new Uint32Array(lanes),
  state: 'away',
  rest: NOTHING,
  chunks: { left: 0, inData: false },
  socket: undefined,
})

const group = (count: number, first: number, isCounted: boolean, own: string): readonly Client[] =>
  Array.from({ length: count }, (_, n) => clientOf(first + n, isCounted, own))

const clients = group(clientCount, 0, true, channel)
const idlers = group(idleCount, clientCount, false, '')
const flooded = clientOf(clientCount + idleCount, false, 'flood')

function setReady(client: Client): void {
  client.state = 'ready'
  counted.connected++
  if (client === flooded && isStuck) client.socket?.pause()
}

const PATHS: Readonly<Record<string, string>> = {
  ws: 'ws?',
  sse: 'sse?',
  'socket.io': 'socket.io/?EIO=4&transport=websocket&',
}

/** Handles packets of Engine.IO 4 that are not events: open, ping, and connected to the namespace. */
function hearEngine(client: Client, message: Buffer): boolean {
  const say = (packet: string) => client.socket?.write(frameOf(TEXT, Buffer.from(packet)))
  const kind = message.toString('latin1', 0, 2)
  if (kind.startsWith('0')) say('40')
  else if (kind.startsWith('2')) say('3')
  else if (kind !== '40') return false
  else if (channel === '') setReady(client)
  else say(`42["subscribe","${channel}"]`)
  return true
}

/** First command of Centrifugo's protocol. Its token names the channels. */
function sayConnect(client: Client): void {
  const command = { id: 1, connect: { token: tokens[client.user] } }
  client.socket?.write(frameOf(TEXT, Buffer.from(JSON.stringify(command))))
}

/** Lines of one frame of Centrifugo's protocol; an empty object is a ping. */
function hearLines(client: Client, message: Buffer, at: number): void {
  for (const line of message.toString('latin1').split('\n')) {
    if (line === '{}') client.socket?.write(frameOf(TEXT, Buffer.from('{}')))
    else if (line !== '') hear(client, Buffer.from(line, 'latin1'), at)
  }
}

function greet(client: Client, head: string): void {
  if (!head.startsWith(`HTTP/1.1 ${transport === 'sse' ? 200 : 101}`))
    die(`a connection was refused: ${head}`)
  client.state = 'greeted'
  if (transport === 'socket.io') return
  if (isCentrifugo) {
    sayConnect(client)
    return
  }
  const subscribe = { type: 'Subscribe', payload: { channels: [client.channel] } }
  if (client.channel !== '') client.socket?.write(frameOf(TEXT, Buffer.from(JSON.stringify(subscribe))))
  else if (readyWord === '' || !client.isCounted) setReady(client)
}

function acknowledge(client: Client, message: Buffer): void {
  const start = message.indexOf('"id":"') + 6
  const payload = { notification_id: message.toString('latin1', start, start + 36) }
  client.socket?.write(frameOf(TEXT, Buffer.from(JSON.stringify({ type: 'Ack', payload }))))
}

function hear(client: Client, message: Buffer, at: number): void {
  const start = message.indexOf('"mark":"')
  if (start < 0) {
    if (message.includes(refusalWord)) die(`a client was told ${message}`)
    const word = client.isCounted ? readyWord : '"subscribed"'
    if (client.state === 'greeted' && message.includes(word)) setReady(client)
    return
  }
  if (!client.isCounted) return
  const mark = message.toString('latin1', start + 8, start + 36)
  const lane = Number.parseInt(mark.slice(16, 20), 16)
  const number = Number.parseInt(mark.slice(20), 16)
  const expected = client.next[lane] ?? die('a lane that nobody has')
  if (number < expected) faults.repeated++
  else {
    faults.lost += number - expected
    client.next[lane] = number + 1
  }
  counted.received++
  if (acks) acknowledge(client, message)
  latencies?.push((at - Number.parseInt(mark.slice(0, 16), 16)) / 1e6)
}

function hearAll(client: Client, bytes: Buffer, at: number): Buffer {
  let rest = bytes
  for (;;) {
    const found = transport === 'sse' ? firstEvent(rest) : firstFrame(rest)
    if (found === undefined) return rest
    const isEvent = transport !== 'socket.io' || !hearEngine(client, found.payload)
    if (found.opcode === TEXT && isCentrifugo) hearLines(client, found.payload, at)
    else if (found.opcode === TEXT && isEvent) hear(client, found.payload, at)
    else if (found.opcode === PING) client.socket?.write(frameOf(PONG, found.payload))
    rest = rest.subarray(found.end)
  }
}

const hearing = {
  data(socket: Socket<Client>, chunk: Buffer): void {
    const at = Bun.nanoseconds()
    const client = socket.data
    if (client.socket !== socket) return
    let fresh = chunk
    if (client.state === 'calling') {
      const head = Buffer.concat([client.rest, chunk])
      const end = head.indexOf('\r\n\r\n')
      client.rest = end < 0 ? head : NOTHING
      if (end < 0) return
      greet(client, head.toString('latin1', 0, end))
      fresh = head.subarray(end + 4)
    }
    if (transport === 'sse') fresh = dechunk(client.chunks, fresh)
    const rest = hearAll(client, client.rest.length === 0 ? fresh : Buffer.concat([client.rest, fresh]), at)
    client.rest = rest.length === 0 ? NOTHING : Buffer.from(rest)
  },
  close(socket: Socket<Client>): void {
    const client = socket.data
    if (client.socket !== socket) return
    client.state = 'away'
    if (client !== flooded) faults.dropped++
  },
}

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** Resolves when the client is connected, before it is ready. */
async function call(client: Client): Promise<void> {
  client.state = 'calling'
  client.rest = NOTHING
  client.chunks = { left: 0, inData: false }
  const query = `token=${tokens[client.user]}${text('query')}`
  const port = ports[client.user % ports.length] ?? firstPort
  const path = isCentrifugo ? 'connection/websocket' : `${PATHS[transport]}${query}`
  const head = `GET /${path} HTTP/1.1\r\nHost: ${host}:${port}\r\n`
  const opening = { hostname: host, port, socket: hearing, data: client }
  client.socket = await Bun.connect<Client>(opening)
  client.socket.write(`${head}${transport === 'sse' ? '' : UPGRADE}\r\n`)
}

function leave(client: Client): void {
  const { socket } = client
  client.socket = undefined
  client.state = 'away'
  socket?.terminate()
}

async function openAll(all: readonly Client[]): Promise<void> {
  const waiting = [...all].reverse()
  const one = async (): Promise<void> => {
    for (let client = waiting.pop(); client !== undefined; client = waiting.pop()) {
      await call(client)
      while (client.state !== 'ready') await new Promise(setImmediate)
    }
  }
  const opened = Promise.all(Array.from({ length: AT_ONCE }, one)).then(() => true)
  if (!(await Promise.race([opened, Bun.sleep(GIVE_UP_MS)]))) die('clients did not become ready')
}

interface Sender {
  readonly lane: number
  user: number
  isBusy: boolean
  answer: string
  socket: Socket<Sender> | undefined
}

const hex = (value: number, digits: number): string => Math.floor(value).toString(16).padStart(digits, '0')

function contentOf(lane: number, sequence: number, due: number, filler = FILLER): string {
  const mark = `${hex(due, 16)}${hex(lane, 4)}${hex(sequence, 8)}`
  const payload = `{"mark":"${mark}","text":"${filler}"}`
  return isCentrifugo ? `"data":${payload}` : `"event_type":"bench","payload":${payload}`
}

function request(sender: Sender, path: string, body: string): void {
  sender.isBusy = true
  sender.socket?.write(
    `POST /api/${isCentrifugo ? 'publish' : `v1/notifications/${path}`} HTTP/1.1\r\nHost: ${host}:${firstPort}\r\nX-API-Key: ${text('key')}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
}

function sequenceOf(place: number): number {
  const sequence = sent[place] ?? 0
  sent[place] = sequence + 1
  sentTotal++
  return sequence
}

function post(sender: Sender, due = Bun.nanoseconds(), to = target): void {
  const { user } = sender
  const lane = isByUser ? 0 : sender.lane
  sender.user = user + senderCount >= users ? sender.lane : user + senderCount
  const content = contentOf(lane, sequenceOf(isByUser ? user : lane), due)
  const addressee = `${clientCount > 0 ? 'user' : 'away'}-${user}`
  if (isCentrifugo)
    request(sender, '', `{"channel":"${to === 'user' ? addressee : channel || 'bench'}",${content}}`)
  else if (to === 'user') request(sender, 'send', `{"target_user_id":"${addressee}",${content}}`)
  else if (to === 'channel') request(sender, 'channel', `{"channel":"${channel}",${content}}`)
  else request(sender, 'broadcast', `{${content}}`)
}

const answering = {
  data({ data: sender }: Socket<Sender>, chunk: Buffer): void {
    sender.answer += chunk.toString('latin1')
    const end = sender.answer.indexOf('\r\n\r\n')
    const length = CONTENT_LENGTH.exec(sender.answer)?.[1]
    if (end < 0 || length === undefined || sender.answer.length < end + 4 + Number(length)) return
    const { answer } = sender
    sender.answer = ''
    sender.isBusy = false
    // No client may have been flooded.
    if (sender === flooder) return
    counted.answered++
    const isWell = answer.startsWith('HTTP/1.1 200') && answer.includes(successWord, end)
    if (!isWell && faults.refused++ === 0)
      process.stderr.write(`loader: an answer was ${answer.slice(0, 400)}\n`)
    if (isSending && !isPaced) post(sender)
  },
  close: () => die('a sender was disconnected'),
}

const senderOf = (lane: number): Sender => ({
  lane,
  user: lane,
  isBusy: false,
  answer: '',
  socket: undefined,
})

const flooder = senderOf(0)
const isPaced = number('rate') > 0

/** With two servers half of the sends to users must cross. */
async function openSender(sender: Sender): Promise<Sender> {
  const port = ports[Math.floor(sender.lane / ports.length) % ports.length] ?? firstPort
  sender.socket = await Bun.connect({ hostname: host, port, socket: answering, data: sender })
  return sender
}

/** Runs at even intervals until it returns false or the pace is stopped. */
function pace(perSecond: number, act: (due: number) => boolean): Disposable {
  let due = Bun.nanoseconds()
  const tick = (): void => {
    while (due <= Bun.nanoseconds() && act(due)) due += 1e9 / perSecond
  }
  const timer = setInterval(tick, 1)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/**
 * Keeps this many messages in flight through Redis. Of each stride the last one goes to a client, the others to users
 * who are away.
 */
async function openRedis(): Promise<Disposable> {
  const data = (_: Socket, chunk: Buffer): void => {
    if (chunk.includes('-')) die(`Redis said ${chunk}`)
  }
  const socket = await Bun.connect({ hostname: '127.0.0.1', port: number('redis_port'), socket: { data } })
  let user = 0
  let unsent = ''
  const topUp = (): void => {
    while (isSending && unsent === '' && sentTotal - counted.received * stride < number('window', 1_000)) {
      const isHeard = sentTotal % stride === stride - 1
      const whom = isHeard ? `user-${user % clientCount}` : `away-${user}`
      // The numbers after those of the users count what no client gets.
      const content = contentOf(0, sequenceOf(isHeard ? user % clientCount : users), Bun.nanoseconds())
      const message = `{"type":"user","target":"${whom}","event":{${content}}}`
      const name = `notification:user:${whom}`
      user = (user + 1) % users
      unsent = `*3\r\n$7\r\nPUBLISH\r\n$${name.length}\r\n${name}\r\n$${message.length}\r\n${message}\r\n`
      unsent = unsent.slice(socket.write(unsent))
    }
    if (unsent !== '') unsent = unsent.slice(socket.write(unsent))
  }
  let isOver = false
  const again = (): void => {
    topUp()
    if (!isOver) setImmediate(again)
  }
  again()
  return {
    [Symbol.dispose]: () => {
      isOver = true
    },
  }
}

/** User and system time of a server, in seconds. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function snapshot() {
  const { user, system } = process.cpuUsage()
  return { ...counted, cpus: pids.map(cpuOf), seconds: performance.now() / 1000, own: (user + system) / 1e6 }
}

function percentile(sorted: Float64Array, part: number): number {
  return sorted[Math.floor(sorted.length * part)] ?? 0
}

/** Window that can be opened repeatedly. */
function createWindow(name: string) {
  const sums = { received: 0, answered: 0, connected: 0, seconds: 0, own: 0 }
  const cpus = pids.map(() => 0)
  const all: number[] = []
  let from = 0
  return {
    sums,
    open: (): (() => void) => {
      from ||= Date.now()
      latencies = all
      const before = snapshot()
      return () => {
        latencies = undefined
        const after = snapshot()
        for (const key of ['received', 'answered', 'connected', 'seconds', 'own'] as const)
          sums[key] += after[key] - before[key]
        pids.forEach((_, n) => {
          cpus[n] = (cpus[n] ?? 0) + (after.cpus[n] ?? 0) - (before.cpus[n] ?? 0)
        })
      }
    },
    told: (): Window => {
      const sorted = Float64Array.from(all).sort()
      const { own, ...rest } = sums
      const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)]
      const cpu = cpus.reduce((sum, each) => sum + each, 0)
      return { name, ...rest, cpu, cpus, busy: own / rest.seconds, p50, p99, from, to: Date.now() }
    },
  }
}

async function measure(name: string, seconds: number): Promise<Window> {
  const window = createWindow(name)
  const shut = window.open()
  await Bun.sleep(seconds * 1000)
  shut()
  return window.told()
}

async function settle(): Promise<void> {
  isSending = false
  const wanted = isByUser ? Math.floor(sentTotal / stride) : sentTotal * clientCount
  if (clientCount > 0) await until(() => counted.received >= wanted, SETTLE_MS)
  if (target !== 'redis') await until(() => counted.answered >= sentTotal, SETTLE_MS)
  await Bun.sleep(100)
  if (target !== 'redis') faults.refused += sentTotal - counted.answered
  clients.forEach(({ next }, n) => {
    next.forEach((expected, lane) => {
      faults.lost += (sent[isByUser ? n : lane] ?? 0) - expected
    })
  })
}

async function renewFlooded(): Promise<void> {
  leave(flooded)
  await call(flooded)
}

/** One flooded client stops reading; then all idle clients reconnect. */
async function disturb(seconds: number, rate: number): Promise<readonly Window[]> {
  isStuck = true
  await renewFlooded()
  const renewing = setInterval(() => void renewFlooded(), STUCK_MS)
  const stuck = await measure('stuck', seconds)
  isStuck = false
  clearInterval(renewing)
  await renewFlooded()
  await Bun.sleep(500)
  const waiting = [...idlers]
  using _ = pace(rate, () => {
    const client = waiting.pop()
    if (client === undefined) return false
    leave(client)
    void call(client)
    return true
  })
  const storm = await measure('storm', idleCount / rate)
  await until(() => idlers.every(({ state }) => state === 'ready'), 2_000)
  faults.dropped += idlers.filter(({ state }) => state !== 'ready').length
  return [stuck, storm]
}

async function flow(warm: number, seconds: number, rate: number): Promise<readonly Window[]> {
  await openAll(clients)
  await openAll(idlers)
  using pacers = new DisposableStack()
  if (idleCount > 0) {
    await openAll([flooded])
    await openSender(flooder)
    const flood = `{"channel":"flood",${contentOf(0, 0, 0, FLOOD)}}`
    const next = (): boolean => {
      if (flooder.isBusy) return false
      request(flooder, 'channel', flood)
      return true
    }
    pacers.use(pace(FLOODS_PER_SECOND, next))
  }
  isSending = true
  const senders: Sender[] = []
  if (target === 'redis') pacers.use(await openRedis())
  else for (let n = 0; n < senderCount; n++) senders.push(await openSender(senderOf(n)))
  const publish = (due: number): boolean => {
    const sender = senders.find(({ isBusy }) => !isBusy)
    if (sender !== undefined) post(sender, due)
    return sender !== undefined
  }
  const publishing = isPaced ? pace(rate, publish) : undefined
  if (!isPaced) for (const sender of senders) post(sender)
  await Bun.sleep(warm * 1000)
  const steady = await measure('steady', seconds)
  const disturbed = idleCount > 0 ? await disturb(seconds, number('storm', 1_000)) : []
  publishing?.[Symbol.dispose]()
  await settle()
  return [steady, ...disturbed]
}

async function visit(
  warm: number,
  seconds: number,
  waiting: number,
  check: number,
): Promise<readonly Window[]> {
  const window = createWindow('visits')
  const sender = await openSender(senderOf(0))
  const warmUntil = performance.now() + warm * 1000
  while (window.sums.seconds < seconds) {
    const isMeasured = performance.now() >= warmUntil
    await Bun.sleep(150)
    const shut = isMeasured ? window.open() : undefined
    const wanted = counted.received + clientCount * waiting
    await openAll(clients)
    await until(() => counted.received >= wanted, SETTLE_MS)
    shut?.()
    sent[0] = 0
    if (check > 0) post(sender, Bun.nanoseconds(), 'broadcast')
    await until(() => counted.received >= wanted + clientCount * check, SETTLE_MS)
    await Bun.sleep(20)
    for (const client of clients) {
      faults.lost += waiting + check - (client.next[0] ?? 0)
      client.next[0] = 0
      leave(client)
    }
  }
  return [window.told()]
}

const residentKib = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${firstPid}/status`, 'utf8'))?.[1])

/** Connects a tenth first, so that one-time costs are not counted. */
async function hold(seconds: number): Promise<Pick<Loaded, 'added' | 'added_kib'>> {
  const first = Math.floor(clientCount / 10)
  await openAll(clients.slice(0, first))
  await Bun.sleep(seconds * 1000)
  const before = residentKib()
  await openAll(clients.slice(first))
  await Bun.sleep(seconds * 1000)
  return { added: clientCount - first, added_kib: residentKib() - before }
}

async function run(mode: string): Promise<Loaded> {
  const [warm, seconds] = [number('warm', 2), number('measure', 3)]
  if (mode === 'hold') return { windows: [], ...(await hold(seconds)), ...faults }
  const windows =
    mode === 'visit'
      ? await visit(warm, seconds, number('waiting'), number('check'))
      : await flow(warm, seconds, number('rate'))
  return { windows, ...faults }
}

process.stdout.write(`${JSON.stringify(await run(text('mode', 'flow')))}\n`)
process.exit(0)
