import { connect } from 'node:net'
import { StringDecoder } from 'node:string_decoder'
import type { Awaitable } from '../../src/lib/flow/awaitable.ts'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createRandom, type Random } from '../support/random.ts'
import { firstFrame, frameOf } from '../support/raw-socket.ts'

/** A device of the user: a WebSocket that resumes by cursor, one without cursor support (v1), or an SSE stream. */
export type Kind = 'ws' | 'v1' | 'sse'

/** How the test ends or disturbs a connection. */
export type Cut = (typeof CUTS)[number]

const CUTS = [
  'closed',
  'reset',
  'stuckThenResumed',
  'stuckThenReset',
  /** The device reads slowly from the start. */
  'dawdled',
  /** The device resets the connection before the handshake is answered. */
  'abandoned',
  /** The service closes the connection. */
  'byServer',
] as const

/** A notification that the service accepted with 2xx. Each sender counts from 0 and waits for each answer. */
export interface AcceptedNotification {
  readonly id: string
  readonly sender: number
  readonly n: number
}

/** A notification as a device read it. */
export interface ReadNotification extends AcceptedNotification {
  readonly seq: number
  /** Whether everything but the id and the cursor equals what was sent. */
  readonly intact: boolean
  /** Position among all reads of all devices. */
  readonly at: number
}

/** One connection of a device. */
export interface Visit {
  readonly device: number
  /** The seq it presented; 0 for an empty cursor, undefined for a client without cursors. */
  readonly after: number | undefined
  readonly reads: ReadNotification[]
  /** Messages that should not have arrived. */
  strange: number
}

export interface Faults {
  /**
   * Accepted notifications that were never read: by a resuming device; or by any device, when some have no cursor. Also
   * unread ones before the start of a connection without cursor.
   */
  readonly lost: number
  /** Reads that match no accepted notification: wrong id, seq, sender, number or payload. */
  readonly phantom: number
  /** Notifications read twice on one connection. */
  readonly duplicates: number
  /** Reads on one connection that are not the next in the log. */
  readonly inversions: number
  /** Notifications accepted later from the same sender but earlier in the log. */
  readonly disordered: number
}

/** Nothing expires and nothing is evicted: the log has one seq per accepted notification, without gaps. */
export function countFaults(sent: readonly AcceptedNotification[], visits: readonly Visit[]): Faults {
  const accepted = new Map(sent.map(each => [each.id, each]))
  const seqs = new Map<string, number>()
  const ids = new Map<number, string>()
  for (const { id, seq } of visits.flatMap(({ reads }) => reads)) {
    if (!seqs.has(id)) seqs.set(id, seq)
    if (!ids.has(seq)) ids.set(seq, id)
  }
  const isGenuine = ({ id, seq, sender, n, intact }: ReadNotification): boolean => {
    const original = accepted.get(id)
    const isAsSent = intact && original?.sender === sender && original.n === n
    return isAsSent && seq >= 1 && seq <= sent.length && seqs.get(id) === seq && ids.get(seq) === id
  }
  return {
    lost: countLost(sent.length, visits, isGenuine),
    phantom: visits.reduce(
      (sum, { reads, strange }) => sum + strange + reads.filter(read => !isGenuine(read)).length,
      0,
    ),
    duplicates: visits.reduce((sum, { reads }) => sum + countRepeats(reads), 0),
    inversions: visits.reduce((sum, visit) => sum + countInversions(visit), 0),
    disordered: countDisordered(sent, seqs),
  }
}

function countLost(
  head: number,
  visits: readonly Visit[],
  isGenuine: (read: ReadNotification) => boolean,
): number {
  const everyone = new Map<number, number>()
  const resuming = new Map<number, Set<number>>()
  for (const { device, after, reads } of visits) {
    const own = resuming.get(device) ?? new Set()
    if (after !== undefined) resuming.set(device, own)
    for (const read of reads.filter(isGenuine)) {
      own.add(read.seq)
      everyone.set(read.seq, Math.min(read.at, everyone.get(read.seq) ?? Number.POSITIVE_INFINITY))
    }
  }
  let lost = 0
  for (const own of resuming.values()) lost += head - own.size
  const without = visits.filter(({ after }) => after === undefined)
  if (without.length > 0) lost += head - everyone.size
  for (const { reads } of without) {
    const first = reads.find(isGenuine)
    for (let seq = 1; first !== undefined && seq < first.seq; seq++)
      if ((everyone.get(seq) ?? Number.POSITIVE_INFINITY) > first.at) lost++
  }
  return lost
}

const countRepeats = (reads: readonly ReadNotification[]): number => {
  const fewest = Math.min(new Set(reads.map(({ seq }) => seq)).size, new Set(reads.map(({ id }) => id)).size)
  return reads.length - fewest
}

/** Ignores repeats, which `countRepeats` counts. */
function countInversions({ after, reads }: Visit): number {
  const seen = new Set<number>()
  let last = after
  let inversions = 0
  for (const { seq } of reads) {
    if (seen.has(seq)) continue
    if (last !== undefined && seq !== last + 1) inversions++
    seen.add(seq)
    last = seq
  }
  return inversions
}

function countDisordered(sent: readonly AcceptedNotification[], seqs: ReadonlyMap<string, number>): number {
  const last = new Map<number, number>()
  let disordered = 0
  for (const { id, sender } of [...sent].sort((a, b) => a.n - b.n)) {
    const seq = seqs.get(id)
    if (seq === undefined) continue
    if (seq < (last.get(sender) ?? 0)) disordered++
    last.set(sender, seq)
  }
  return disordered
}

/** Text that breaks a careless encoder or decoder: multi-byte characters, quotes, line breaks. */
const TEXT = 'Grüße, "世界"\n\n: event\\ data'.repeat(2_000)

/** Text of a sender's nth notification. Half of them are large enough to fill buffers. */
function textOf(sender: number, n: number): string {
  const random = createRandom(sender * 1_000_003 + n)
  const length = random.chance(0.5) ? random.whole(9_000, 40_000) : random.whole(0, 300)
  const start = random.whole(0, TEXT.length - length)
  return TEXT.slice(start, start + length)
}

// biome-ignore lint/suspicious/noExplicitAny: a service under test may send anything.
type Message = any

/** A connection that reads and closes only as the test says. */
interface Line {
  readonly isOpen: boolean
  /** Stops reading, so that the kernel's buffers fill up. */
  stall(): void
  /** Resumes reading: first this many chunks, one at a time with a pause after each. */
  resume(sips: number): void
  /** Closes it with the protocol's own goodbye, if there is one. */
  close(): void
  /** Resets the TCP connection; unread bytes are lost. */
  reset(): void
}

interface LineOptions {
  readonly kind: Kind
  readonly port: number
  readonly path: string
  readonly headers: readonly string[]
  /** `id` is the id of an SSE event. */
  readonly hear: (message: Message, id: string | undefined) => void
  readonly ended: (byTest: boolean) => void
}

const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

const SIP_MS = 2
const MANY_SIPS = 200

type Take = (bytes: Buffer<ArrayBufferLike>) => Buffer<ArrayBufferLike>

/** Takes whole frames off the front and replies to pings. */
const framesTo =
  (hear: LineOptions['hear'], pong: (payload: Buffer) => void): Take =>
  bytes => {
    let rest = bytes
    for (let found = firstFrame(rest); found !== undefined; found = firstFrame(rest)) {
      const { opcode, payload } = found.frame
      rest = rest.subarray(found.end)
      if (opcode === 1) hear(JSON.parse(payload.toString()), undefined)
      if (opcode === 9) pong(payload)
    }
    return rest
  }

const fieldOf = (event: string, name: string): string | undefined =>
  event
    .split('\n')
    .find(line => line.startsWith(`${name}: `))
    ?.slice(name.length + 2)

/** Takes whole chunks (RFC 9112 §7.1) off the front, and parses events from them. */
const eventsTo = (hear: LineOptions['hear']): Take => {
  const decoder = new StringDecoder('utf8')
  let text = ''
  return bytes => {
    let rest = bytes
    for (;;) {
      const start = rest.indexOf('\r\n') + 2
      const length = Number.parseInt(rest.toString('latin1', 0, start), 16)
      if (start < 2 || !(rest.length >= start + length + 2)) break
      text += decoder.write(rest.subarray(start, start + length))
      rest = rest.subarray(start + length + 2)
    }
    const events = text.split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const data = fieldOf(event, 'data')
      if (data !== undefined) hear(JSON.parse(data), fieldOf(event, 'id'))
    }
    return rest
  }
}

function dial({ kind, port, path, headers, hear, ended }: LineOptions): Line {
  const socket = connect({ port, host: '127.0.0.1' })
  const send = (opcode: number, payload: Uint8Array): void => void socket.write(frameOf(opcode, payload))
  const take = kind === 'sse' ? eventsTo(hear) : framesTo(hear, payload => send(10, payload))
  let isOpen = true
  let isUp = false
  let byTest = false
  let sipsLeft = 0
  let nap: Timer | undefined
  let rest: Buffer<ArrayBufferLike> = Buffer.alloc(0)

  const end = (): void => {
    if (!isOpen) return
    isOpen = false
    ended(byTest)
  }
  /** Sends an unsolicited pong (RFC 6455 §5.5.3), as some stacks do for keep-alive. */
  const sip = (): void => {
    sipsLeft--
    socket.pause()
    nap = setTimeout(() => socket.resume(), SIP_MS)
    if (kind !== 'sse') send(10, Buffer.alloc(0))
  }
  socket.on('data', chunk => {
    if (!isOpen) return
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, Buffer.from(chunk)])
    if (!isUp) {
      const at = rest.indexOf('\r\n\r\n')
      if (at < 0) return
      isUp = true
      const head = rest.toString('latin1', 0, at)
      rest = rest.subarray(at + 4)
      if (!/^HTTP\/1\.1 (?:101|200) /.test(head)) hear({ type: head }, undefined)
    }
    rest = take(rest)
    if (sipsLeft > 0) sip()
  })
  socket.on('error', () => {})
  socket.on('close', end)
  socket.write(`${[`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers].join('\r\n')}\r\n\r\n`)

  return {
    get isOpen() {
      return isOpen
    },
    stall: () => {
      sipsLeft = 0
      clearTimeout(nap)
      socket.pause()
    },
    resume: sips => {
      sipsLeft = sips
      socket.resume()
    },
    close: () => {
      byTest = true
      if (kind !== 'sse' && isUp) return send(8, Buffer.from([1000 >> 8, 1000 & 255]))
      socket.destroy()
      end()
    },
    reset: () => {
      byTest = true
      socket.resetAndDestroy()
      end()
    },
  }
}

/** State that senders and devices of one run share. */
interface World {
  readonly service: TestApp
  readonly token: string
  readonly sent: AcceptedNotification[]
  readonly visits: Visit[]
  readonly cuts: Record<Cut, number>
  /** Seqs that some device has read. */
  readonly seen: Set<number>
  /** The epoch of the log, from the first cursor. */
  epoch: string | undefined
  /** Number of notifications read by all devices. */
  reads: number
  /** Devices that resumed without `recovered:true`. */
  unrecovered: number
  /** No more is sent until the next round. */
  over: boolean
  /** Signals a change. */
  stir(): void
  /** Resolves with true when the condition holds, with false after a timeout. */
  until(isSo: () => boolean): Promise<boolean>
}

/** Far longer than any step takes. */
const GIVE_UP_MS = 20_000

function createSignal(): Pick<World, 'stir' | 'until'> {
  const waiting = new Set<() => void>()
  return {
    stir: () => {
      for (const look of waiting) look()
    },
    until: async isSo => {
      if (isSo()) return true
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const look = () => {
        if (isSo()) resolve(true)
      }
      const timer = setTimeout(() => resolve(false), GIVE_UP_MS)
      waiting.add(look)
      const came = await promise
      waiting.delete(look)
      clearTimeout(timer)
      return came
    },
  }
}

interface Device {
  /** Connects, reads and is disturbed this many times. */
  hop(times: number): Promise<void>
  /** Ends the connection now and reconnects. */
  comeBack(): void
  /** Reconnects after each end until it has read everything; false when it never does. */
  catchUp(): Promise<boolean>
  leave(): void
}

function createDevice(world: World, kind: Kind, device: number, random: Random): Device {
  const { service, token, cuts } = world
  let line: Line | undefined
  let visit: Visit = { device, after: undefined, reads: [], strange: 0 }
  /** The furthest seq read; the device has read every seq up to it. */
  let furthest = 0

  const isOpen = (): boolean => line?.isOpen === true

  const readOne = ({ reads }: Visit, message: Message, id: string | undefined): void => {
    const { cursor, payload } = message
    const [epoch, seq] = String(cursor).split(':')
    world.epoch ??= epoch
    const intact =
      epoch === world.epoch &&
      (kind !== 'sse' || id === cursor) &&
      payload.text === textOf(payload.sender, payload.n)
    const read = { id: message.id, sender: payload.sender, n: payload.n, seq: Number(seq), intact }
    reads.push({ ...read, at: world.reads++ })
    world.seen.add(read.seq)
    furthest = Math.max(furthest, read.seq)
  }

  /** Checks the greeting of a resuming client, given the number accepted before it connected. */
  const checkGreeting = ({ after = Number.NaN }: Visit, message: Message, sentBefore: number): void => {
    world.epoch ??= String(message.cursor).split(':')[0]
    const isRight =
      message.recovered === true &&
      message.cursor === `${world.epoch}:${after}` &&
      message.replayed >= sentBefore - after
    if (!isRight) world.unrecovered++
  }

  const hearer = (current: Visit): LineOptions['hear'] => {
    const sentBefore = world.sent.length
    let heard = 0
    return (message, id) => {
      heard++
      if (message.type === 'notification') readOne(current, message, id)
      else if (message.type === 'connected' && heard === 1 && kind !== 'v1')
        checkGreeting(current, message, sentBefore)
      else if (message.type !== 'heartbeat') current.strange++
      if (heard === 1 && kind !== 'v1' && message.type !== 'connected') current.strange++
      world.stir()
    }
  }

  /** The seq to present: mostly the current one, sometimes an earlier one, or none. */
  const wish = (): number => {
    if (world.epoch === undefined || random.chance(0.12)) return 0
    return random.chance(0.3) ? random.whole(Math.max(0, furthest - 300), furthest) : furthest
  }

  const connectAgain = (from = wish()): void => {
    const after = kind === 'v1' ? undefined : from
    const cursor = after === undefined || after === 0 ? '' : `${world.epoch}:${after}`
    const asHeader = kind === 'sse' && cursor !== '' && random.chance(0.7)
    const query = after === undefined || asHeader ? '' : `&cursor=${cursor}`
    visit = { device, after, reads: [], strange: 0 }
    world.visits.push(visit)
    line = dial({
      kind,
      port: service.port,
      path: `/${kind === 'sse' ? 'sse' : 'ws'}?token=${token}${query}`,
      headers: [...(kind === 'sse' ? [] : UPGRADE), ...(asHeader ? [`Last-Event-ID: ${cursor}`] : [])],
      hear: hearer(visit),
      ended: byTest => {
        if (!byTest) cuts.byServer++
        world.stir()
      },
    })
  }

  const readMore = async (count: number): Promise<void> => {
    const enough = visit.reads.length + count
    await world.until(() => visit.reads.length >= enough || !isOpen() || world.over)
  }

  /** Reads everything accepted before this call. */
  const readUp = async (): Promise<void> => {
    const head = world.sent.length
    await world.until(() => (visit.reads.at(-1)?.seq ?? 0) >= head || !isOpen() || world.over)
  }

  const waitForSends = async (count: number): Promise<void> => {
    const enough = world.sent.length + count
    await world.until(() => world.sent.length >= enough || world.over)
  }

  /** Ends or disturbs the connection. */
  const disturb = async (how: Exclude<Cut, 'dawdled' | 'abandoned' | 'byServer'>): Promise<void> => {
    if (!isOpen()) return
    if (how === 'closed') {
      line?.close()
      await world.until(() => !isOpen())
    } else if (how === 'reset') {
      line?.stall()
      await waitForSends(random.whole(0, 30))
      line?.reset()
    } else {
      line?.stall()
      await waitForSends(random.chance(0.3) ? random.whole(400, 700) : random.whole(20, 200))
      if (how === 'stuckThenResumed') line?.resume(random.whole(0, 60))
      else line?.reset()
    }
    cuts[how]++
  }

  /** Reads slowly more than buffers hold: the whole log, when the client can present an empty cursor. */
  const dawdle = async (): Promise<void> => {
    connectAgain(0)
    line?.stall()
    await waitForSends(random.whole(1, 60))
    line?.resume(MANY_SIPS)
    cuts.dawdled++
  }

  const abandon = (): void => {
    connectAgain()
    line?.reset()
    cuts.abandoned++
  }

  return {
    hop: async times => {
      for (let n = 0; n < times && !world.over; n++) {
        if (!isOpen() && random.chance(0.25)) await dawdle()
        if (!isOpen()) connectAgain()
        await readMore(random.chance(0.2) ? 0 : random.whole(1, 120))
        if (random.chance(0.2)) await readUp()
        await disturb(random.pick(['closed', 'reset', 'reset', 'stuckThenResumed', 'stuckThenReset']))
        if (!isOpen() && random.chance(0.15)) abandon()
        if (!isOpen() && random.chance(0.5)) await waitForSends(random.whole(1, 80))
      }
    },
    comeBack: () => {
      line?.reset()
      connectAgain()
    },
    catchUp: async () => {
      const hasAll = (): boolean => {
        const last = visit.reads.at(-1)
        // A client without cursor gets nothing when everything was read before.
        if (last === undefined && kind === 'v1') return world.seen.size >= world.sent.length
        return (last?.seq ?? visit.after) === world.sent.length
      }
      const endsAt = performance.now() + GIVE_UP_MS
      while (performance.now() < endsAt) {
        if (!isOpen()) connectAgain()
        if (!(await world.until(() => hasAll() || !isOpen()))) return false
        if (isOpen()) return true
      }
      return false
    },
    leave: () => line?.close(),
  }
}

export interface Run {
  readonly kinds: readonly Kind[]
  readonly notifications: number
  readonly reads: number
  readonly cuts: Readonly<Record<Cut, number>>
  readonly faults: Faults & {
    /** Sends without status 200 and `success`. */
    readonly refused: number
    /** Greetings of resuming clients without `recovered:true`, or with another seq than presented. */
    readonly unrecovered: number
    /** Devices that did not get everything after sending stopped. */
    readonly stalled: number
    /** Connections that the service still counts after all have ended. */
    readonly ghosts: number
  }
}

interface RunOptions {
  readonly seed: number
  readonly notifications: number
  readonly rounds?: number
  readonly hopsPerRound?: number
  readonly wrapStore?: (store: Store) => Store
}

const KINDS = ['ws', 'v1', 'sse'] as const
const PRIORITIES = ['Low', 'Normal', 'High', 'Critical'] as const

/** Sends to one user in rounds while their devices hop. After each round all devices must have everything. */
export async function hop({
  seed,
  notifications,
  rounds = 4,
  hopsPerRound = 4,
  wrapStore,
}: RunOptions): Promise<Run> {
  const random = createRandom(seed)
  const kinds = Array.from({ length: random.whole(1, 3) }, () => random.pick(KINDS))
  await using service = await startTestApp(
    {
      QUEUE_ENABLED: 'true',
      QUEUE_MAX_SIZE_PER_USER: '100000',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
      SEND_BUFFER_BYTES: random.pick(['65536', '262144', '1048576']),
      // A stream's receipt is inferred at the heartbeat: with streams, no heartbeat may happen here.
      WEBSOCKET_HEARTBEAT_INTERVAL: kinds.includes('sse') ? '60' : '1',
    },
    wrapStore && { wrapStore },
  )
  const world: World = {
    service,
    token: await service.token('hopper'),
    sent: [],
    visits: [],
    cuts: Object.fromEntries(CUTS.map(cut => [cut, 0])) as Record<Cut, number>,
    seen: new Set(),
    epoch: undefined,
    reads: 0,
    unrecovered: 0,
    over: false,
    ...createSignal(),
  }
  const devices = kinds.map((kind, n) => createDevice(world, kind, n, createRandom(seed * 100 + n)))
  const counters = Array.from({ length: random.whole(3, 6) }, () => 0)
  let refused = 0
  let stalled = 0

  const send = async (sender: number): Promise<void> => {
    const n = counters[sender] ?? 0
    counters[sender] = n + 1
    const { status, json } = await service.post('/api/v1/notifications/send', {
      target_user_id: 'hopper',
      event_type: 'hop',
      payload: { sender, n, text: textOf(sender, n) },
      priority: random.pick(PRIORITIES),
    })
    if (status === 200 && json.success) world.sent.push({ id: json.notification_id, sender, n })
    else refused++
    world.stir()
  }

  const playRound = async (least: number): Promise<void> => {
    let hopping = devices.length
    let sends = 0
    world.over = false
    const keepSending = async (sender: number): Promise<void> => {
      for (; (sends < least || hopping > 0) && sends < least * 3; sends++) await send(sender)
    }
    const keepHopping = async (device: Device): Promise<void> => {
      await device.hop(hopsPerRound)
      hopping--
    }
    const sending = Promise.all(counters.map((_, sender) => keepSending(sender))).then(() => {
      world.over = true
      world.stir()
    })
    await Promise.all([sending, ...devices.map(keepHopping)])
  }

  const catchUp = async (): Promise<boolean> => {
    const caughtUp = await Promise.all(devices.map(device => device.catchUp()))
    stalled = caughtUp.filter(came => !came).length
    return stalled === 0
  }

  const play = async (): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await playRound(Math.ceil(notifications / rounds))
      if (!(await catchUp())) return
    }
    for (const device of devices) device.comeBack()
    if (!(await catchUp())) return
    // One more send shows where a client without cursor stands that had nothing to read.
    await send(0)
    await catchUp()
  }

  await play()
  for (const device of devices) device.leave()
  return {
    kinds,
    notifications: world.sent.length,
    reads: world.reads,
    cuts: world.cuts,
    faults: {
      ...countFaults(world.sent, world.visits),
      refused,
      unrecovered: world.unrecovered,
      stalled,
      ghosts: await countGhosts(service),
    },
  }
}

/** Retries, because the service may notice the last ends a moment later. */
async function countGhosts(service: TestApp): Promise<number> {
  const endsAt = performance.now() + GIVE_UP_MS
  for (;;) {
    const { json } = await service.get('/health')
    if (json.connections.total === 0 || performance.now() > endsAt) return json.connections.total
    await new Promise(setImmediate)
  }
}

/** A store whose calls take effect in order, with late answers in any order. */
export function slowStore(random: Random): (store: Store) => Store {
  const late =
    <A extends readonly unknown[], T>(act: (...given: A) => Awaitable<T>) =>
    async (...given: A): Promise<T> => {
      const answer = awaitedLater(Promise.resolve(act(...given)))
      const wait = random.whole(0, 5)
      if (wait > 0) await Bun.sleep(wait)
      return answer
    }
  return store => {
    const { append, open, count, read } = store.log
    return {
      ...store,
      log: { ...store.log, append: late(append), open: late(open), count: late(count), read: late(read) },
    }
  }
}
