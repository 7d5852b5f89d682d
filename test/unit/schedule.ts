import type { createDelivery as CreateDelivery, Delivery } from '../../src/dispatch/delivery.ts'
import { createPersist } from '../../src/dispatch/persist.ts'
import type { createReceipts as CreateReceipts, Receipts } from '../../src/dispatch/receipts.ts'
import type { createSweep as CreateSweep, Sweep } from '../../src/dispatch/sweep.ts'
import { Connection, type WriteResult } from '../../src/hub/connection.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import { type Cursor, formatCursor } from '../../src/notification/cursor.ts'
import type { Frame } from '../../src/notification/frame.ts'
import { userFrame } from '../../src/notification/frame.ts'
import { userTopic } from '../../src/notification/topic.ts'
import type { Base, LogStart, Page, UserLog } from '../../src/store/store.ts'

/** The parts under test: the real ones, or a mutant. */
export interface Parts {
  readonly createDelivery: typeof CreateDelivery
  readonly createReceipts: typeof CreateReceipts
  readonly createSweep: typeof CreateSweep
}

export const OWNER = userTopic('default', 'u')
const PRINCIPAL = { user: 'u', tenant: 'default', roles: [], expiresAt: Number.MAX_SAFE_INTEGER }
const MAX_WAITING = 6

/** A small generator of whole numbers below n (mulberry32). */
function randomFrom(seed: number): (n: number) => number {
  let state = seed
  return n => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n
  }
}

export interface Item {
  readonly cursor: Cursor
  readonly body: string
  /** The reason why it left the log. */
  gone?: 'expired' | 'removed'
  /** When it left, in steps. */
  goneAt?: number
}

/** A simulated world of one user's log: everything asynchronous is a task, and the seed picks the next one. */
export class World {
  readonly pick: (n: number) => number
  readonly tasks: (() => void)[] = []
  readonly faults: string[] = []
  /** Every entry ever accepted, by cursor. */
  readonly history = new Map<string, Item>()
  entries: Item[] = []
  epoch = 'e0'
  seq = 0
  receivedThrough = 0
  removedThrough = 0
  bases: Base[] = []
  lives = 1
  /** Steps so far. */
  now = 0
  /** No hint is lost, so no later hint has to repair anything. */
  readonly lossless: boolean
  /** The store has outages: appends without an answer, and sweeps after them. */
  readonly sweeps: boolean
  bodies = 0
  /** No client knows the present epoch: nothing was appended since it began. */
  isUnheard = false
  /** The highest seq per epoch that a device has read or presented. */
  readonly proven = new Map<string, number>()

  constructor(seed: number) {
    this.pick = randomFrom(seed)
    this.sweeps = seed % 7 === 0
    this.lossless = seed % 2 === 0 && !this.sweeps
  }

  fault(text: string): void {
    this.faults.push(text)
  }

  prove({ epoch, seq }: Cursor): void {
    this.proven.set(epoch, Math.max(seq, this.proven.get(epoch) ?? 0))
  }

  later<T>(answer: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.tasks.push(() => {
      // Sometimes the store fails, or its answer arrives some tasks later.
      if (this.pick(25) === 0) {
        reject(new Error('away'))
        return
      }
      const value = answer()
      if (this.pick(2) === 0) resolve(value)
      else this.tasks.push(() => resolve(value))
    })
    return promise
  }

  get alive(): Item[] {
    return this.entries.filter(entry => entry.gone === undefined)
  }

  append(): Item {
    this.seq++
    this.isUnheard = false
    const item: Item = { cursor: { epoch: this.epoch, seq: this.seq }, body: `{"n":${this.bodies++}` }
    this.history.set(formatCursor(item.cursor), item)
    this.entries.push(item)
    return item
  }

  lose(gone: 'expired' | 'removed'): void {
    const { alive } = this
    const item = alive[this.pick(Math.max(1, alive.length))]
    if (item === undefined) return
    item.gone = gone
    item.goneAt = this.now
    if (gone === 'removed') this.removedThrough = Math.max(this.removedThrough, item.cursor.seq)
  }

  /** The log returns without its tail under a new epoch; sometimes it knows no base. */
  restart(): void {
    const kept = this.seq === 0 ? 0 : this.pick(this.seq + 1)
    const former = this.epoch
    this.isUnheard = true
    this.epoch = `e${this.lives++}`
    this.bases = this.pick(4) === 0 ? [] : [...this.bases, { epoch: former, seq: kept }]
    this.entries = this.entries
      .filter(({ cursor }) => cursor.seq <= kept)
      .map(({ body, gone, cursor }) => ({
        body,
        cursor: { epoch: this.epoch, seq: cursor.seq },
        ...(gone && { gone }),
      }))
    for (const item of this.entries) this.history.set(formatCursor(item.cursor), item)
    this.seq = kept
    this.receivedThrough = this.bases.length === 0 ? 0 : Math.min(this.receivedThrough, kept)
    // A device that read the earlier epoch up to here has read this one too.
    this.prove({ epoch: this.epoch, seq: Math.min(kept, this.proven.get(former) ?? 0) })
    this.removedThrough = Math.min(this.removedThrough, kept)
  }

  /** The last seq of the present epoch that a reader of `cursor` has surely seen. */
  shared({ epoch, seq }: Cursor): number {
    if (epoch === this.epoch) return seq
    const at = this.bases.findLastIndex(base => base.epoch === epoch)
    return at < 0 ? 0 : Math.min(seq, ...this.bases.slice(at).map(base => base.seq))
  }

  readonly log: Pick<UserLog, 'open' | 'heads' | 'count' | 'read' | 'received'> = {
    open: () => this.later(() => this.openNow()),
    heads: owners => this.later(() => owners.map(() => this.head)),
    count: (_, after) => this.later(() => this.countNow(after)),
    read: (_, after, limit) => this.later(() => this.readNow(after, limit.entries)),
    received: (_, cursor) => this.receivedNow(cursor),
  }

  get head(): Cursor {
    return { epoch: this.epoch, seq: this.seq }
  }

  openNow(): LogStart {
    return {
      head: this.head,
      received: this.receivedThrough,
      removedThrough: this.removedThrough,
      // Only clients with an empty cursor see this.
      lostThrough: 0,
      bases: this.bases,
    }
  }

  countNow(after: number): number {
    return this.alive.filter(({ cursor }) => cursor.seq > after).length
  }

  readNow(after: number, most: number): Page {
    const rest = this.alive.filter(({ cursor }) => cursor.seq > after)
    const entries = rest.slice(0, most).map(({ cursor, body }) => ({ seq: cursor.seq, body }))
    const through = rest.length > entries.length ? (entries.at(-1)?.seq ?? after) : this.seq
    return { epoch: this.epoch, entries, through, removedThrough: this.removedThrough }
  }

  receivedNow(cursor: Cursor): void {
    if (cursor.seq > (this.proven.get(cursor.epoch) ?? 0))
      this.fault(`a receipt of ${formatCursor(cursor)} came early`)
    if (cursor.epoch === this.epoch) this.receivedThrough = Math.max(this.receivedThrough, cursor.seq)
  }
}

interface DeviceOptions {
  /** It resumes by cursor. */
  readonly optedIn: boolean
  readonly onEnd: (device: Device) => void
  /** Work of its node. */
  readonly tasks?: World['tasks']
}

/** A client and its socket. */
export class Device extends Connection {
  readonly transport = 'ws'
  readonly world: World
  readonly optedIn: boolean
  readonly receivedBefore: Cursor
  readonly written: Cursor[] = []
  readonly bodies = new Set<string>()
  /** Written but unread: frames, and pings by their payload. */
  readonly wire: ({ readonly frame: Cursor } | { readonly ping: string })[] = []
  /** The cursor of the last frame that the client has read. */
  lastRead: Cursor | undefined
  startedAt: Cursor | undefined
  /** Since when the promise of the greeting holds, in steps. */
  countsSince = Number.POSITIVE_INFINITY
  isGone = false
  #pings: Cursor[] = []
  #askAgain = false
  #waiting = 0
  #drained: PromiseWithResolvers<void> | undefined
  readonly #onEnd: (device: Device) => void
  readonly #tasks: World['tasks']

  constructor(world: World, { optedIn, onEnd, tasks = world.tasks }: DeviceOptions) {
    super(PRINCIPAL)
    this.world = world
    this.optedIn = optedIn
    this.receivedBefore = { epoch: world.epoch, seq: world.receivedThrough }
    this.#onEnd = onEnd
    this.#tasks = tasks
  }

  write(frame: Frame): WriteResult {
    const { world } = this
    const { cursor: text } = JSON.parse(frame.json) as { cursor: string }
    const [epoch = '', digits] = text.split(':')
    const cursor = { epoch, seq: Number(digits) }
    const item = world.history.get(text)
    if (this.isGone) world.fault('a connection that has ended was written to')
    if (item === undefined || !frame.json.startsWith(item.body)) world.fault(`phantom ${text}`)
    if (this.phase === 'replaying' && this.#waiting > 0) world.fault('a replay did not wait for its reader')
    if (this.#waiting >= MAX_WAITING) return 'refused'
    this.#checkPlace(cursor)
    this.written.push(cursor)
    this.bodies.add(item?.body ?? '')
    this.wire.push({ frame: cursor })
    if (this.#waiting === 0 && world.pick(6) > 0) return 'sent'
    this.#waiting++
    if (this.#waiting === 1) this.#tasks.push(() => this.#drain())
    return 'buffered'
  }

  /** The last seq of the present epoch that a client which has read `last` knows, before it is sent the next one. */
  protected surelySeen(last: Cursor, _next: number): number {
    return this.world.shared(last)
  }

  #checkPlace({ epoch, seq }: Cursor): void {
    const { world } = this
    const last = this.written.at(-1) ?? this.startedAt
    if (last === undefined) {
      world.fault('written to before its start was known')
      return
    }
    if (last.epoch === epoch && seq <= last.seq)
      world.fault(`out of order or twice: ${seq} after ${last.seq}`)
    const from =
      last.epoch === epoch ? last.seq : epoch === world.epoch ? this.surelySeen(last, seq) : seq - 1
    if (last.epoch !== epoch && epoch === world.epoch && seq <= from)
      world.fault(`${seq} was surely seen in an earlier life`)
    for (let missing = from + 1; missing < seq; missing++) {
      const { gone, goneAt = 0 } = world.history.get(`${epoch}:${missing}`) ?? {}
      if (gone === undefined) world.fault(`a hole at ${missing}`)
      // The greeting already reported the loss below this place.
      const isPromised = this.optedIn && missing > (this.toldRemoved ?? 0) && goneAt > this.countsSince
      if (gone === 'removed' && isPromised) world.fault(`passed over ${missing}, removed while it read`)
    }
    if (last.epoch !== epoch) this.countsSince = world.now
  }

  batch(writes: () => void): void {
    writes()
  }

  buffered(): number {
    return this.#waiting
  }

  ask(cursor: Cursor): void {
    if (this.#pings.length > 0) this.#askAgain = true
    else this.#ping(cursor)
  }

  #ping(cursor: Cursor): void {
    this.#pings.push(cursor)
    this.wire.push({ ping: formatCursor(cursor) })
  }

  /** As `WebSocketPeer.answered`. */
  answered(payload: string): Cursor | undefined {
    const at = this.#pings.findLastIndex(ping => formatCursor(ping) === payload)
    const cursor = this.#pings[at]
    if (cursor === undefined) return undefined
    this.#pings.splice(0, at + 1)
    if (this.#askAgain && this.#pings.length === 0) {
      this.#askAgain = false
      this.#ping({ epoch: this.epoch, seq: this.position })
    }
    return cursor
  }

  drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  #drain(): void {
    this.#waiting = 0
    this.#drained?.resolve()
    this.#drained = undefined
  }

  close(): void {
    this.cut()
  }

  cut(): void {
    this.#onEnd(this)
    this.#drain()
  }

  listen(): boolean {
    return false
  }

  unlisten(): void {
    // No native publish in this test.
  }
}

class Run {
  readonly world: World
  readonly hub: Hub<Device> = createHub<Device>()
  readonly receipts: Receipts
  readonly delivery: Delivery
  readonly sweep: Sweep
  readonly devices: Device[] = []
  /** Frames counted as delivered, by an offer or by a replay. */
  told = 0
  readonly #seen: string[] = ['', 'nonsense', 'e9:3', 'e0:99']

  constructor(parts: Parts, seed: number) {
    this.world = new World(seed)
    const { log } = this.world
    this.receipts = parts.createReceipts({ hub: this.hub, log })
    this.delivery = parts.createDelivery({
      log,
      receipts: this.receipts,
      page: { entries: 1 + this.world.pick(3), bytes: 1_000_000 },
      onReplayed: (_, __, seqs) => {
        this.told += seqs.length
      },
      persist: createPersist(() => this.#retry()),
      onFault: error => {
        throw error
      },
      turn: () => this.#task(),
    })
    this.sweep = parts.createSweep({
      hub: this.hub,
      log,
      delivery: this.delivery,
      retry: () => this.#retry(),
    })
  }

  async #retry(): Promise<boolean> {
    await this.#task()
    return true
  }

  #task(): Promise<void> {
    return new Promise(resolve => this.world.tasks.push(resolve))
  }

  connect(): void {
    const { world } = this
    const cursor = world.pick(2) === 0 ? this.#seen[world.pick(this.#seen.length)] : undefined
    const device = new Device(world, { optedIn: cursor !== undefined, onEnd: ended => this.end(ended) })
    this.devices.push(device)
    this.hub.open(device)
    void this.#begin(device, cursor)
  }

  async #begin(device: Device, cursor: string | undefined): Promise<void> {
    const { world } = this
    const [epoch = '', digits] = cursor?.split(':') ?? []
    const presented = { epoch, seq: Number(digits) }
    if (world.history.has(cursor ?? '')) world.prove(presented)
    const started = await this.delivery.start(device, cursor === undefined ? {} : { cursor })
    if (started?.cursor === undefined) return
    device.startedAt = started.cursor
    device.countsSince = world.now
    const before = world.shared(device.receivedBefore)
    if (cursor === undefined && started.cursor.epoch === world.epoch && started.cursor.seq > before)
      world.fault(`started at ${started.cursor.seq}, though only ${before} had been received when it came`)
    // The greeting may overflow its buffer.
    if (world.pick(12) === 0) this.end(device)
    await this.delivery.replay(device)
  }

  end(device: Device): void {
    if (!this.hub.has(device)) return
    device.phase = 'ended'
    device.isGone = true
    this.hub.end(device)
    this.receipts.settle(device)
  }

  send(mayLose: boolean): void {
    const { world } = this
    const item = world.append()
    const frame = userFrame(item.body, item.cursor)
    for (const device of this.hub.members(OWNER) as ReadonlySet<Device>)
      if (!mayLose || world.lossless || world.pick(6) > 0)
        world.tasks.push(() => {
          const offered = this.delivery.offer(device, item.cursor, frame)
          if (offered === 'sent' || offered === 'buffered') this.told++
        })
  }

  /** An append succeeded without an answer. */
  resume(): void {
    this.world.append()
    this.sweep.start()
  }

  /** The client reads some of its wire. */
  read(device: Device): void {
    const { world } = this
    for (const item of device.wire.splice(0, 1 + world.pick(4))) {
      if ('frame' in item) {
        device.lastRead = item.frame
        this.#seen.push(formatCursor(item.frame))
        // A receipt covers all before it: the wire keeps the order.
        world.prove(item.frame)
      } else world.tasks.push(() => this.#pong(device, item.ping))
    }
  }

  #pong(device: Device, payload: string): void {
    const [epoch = '', digits] = payload.split(':')
    if (device.hasEnded()) return
    // Skipped entries must have left the log.
    this.world.prove({ epoch, seq: Number(digits) })
    const cursor = device.answered(payload)
    if (cursor !== undefined) this.receipts.proved(device, cursor)
  }

  get open(): Device[] {
    return this.devices.filter(device => !device.hasEnded())
  }

  step(): void {
    const { world, open } = this
    world.now++
    const device = open[world.pick(Math.max(1, open.length))]
    const dice = world.pick(100)
    if (dice < 55 && world.tasks.length > 0) world.tasks.splice(world.pick(world.tasks.length), 1)[0]?.()
    else if (dice < 72) this.send(true)
    else if (dice < 80 && device !== undefined) this.read(device)
    else if (dice < 86 && open.length < 3) this.connect()
    else if (dice < 90 && device !== undefined) this.end(device)
    else if (dice < 93) world.lose('expired')
    else if (dice < 96) world.lose('removed')
    else if (dice < 98) world.restart()
    else if (world.sweeps) this.resume()
    else if (device !== undefined) device.answered('e0:1 unsolicited')
  }

  async settle(): Promise<void> {
    const { world } = this
    for (let n = 0; world.tasks.length > 0; n++) {
      if (n > 2_000) {
        world.fault('it never comes to rest')
        return
      }
      world.tasks.splice(world.pick(world.tasks.length), 1)[0]?.()
      await new Promise(setImmediate)
    }
  }

  check(): void {
    const { world } = this
    const written = this.devices.reduce((sum, device) => sum + device.written.length, 0)
    if (this.told !== written) world.fault(`${written} frames were written, ${this.told} told of`)
    for (const device of this.open) {
      if (device.phase !== 'live' || device.epoch !== world.epoch || device.position !== world.seq)
        world.fault(
          `${device.phase} at ${device.epoch}:${device.position}, the head is ${world.epoch}:${world.seq}`,
        )
      const from = device.startedAt === undefined ? 0 : world.shared(device.startedAt)
      for (const { cursor, body } of world.alive)
        if (cursor.seq > from && !device.bodies.has(body)) world.fault(`lost ${formatCursor(cursor)}`)
    }
  }
}

/** Plays one schedule and returns the faults it shows. */
export async function play(parts: Parts, seed: number, steps = 60): Promise<readonly string[]> {
  const run = new Run(parts, seed)
  run.connect()
  for (let n = 0; n < steps; n++) {
    run.step()
    await new Promise(setImmediate)
  }
  await run.settle()
  if (run.world.lossless && !run.world.isUnheard) run.check()
  // A lost hint may have been the last one. The next hint or a sweep shows the gap.
  if (run.world.sweeps) {
    run.sweep.start()
    run.world.tasks.pop()?.()
    run.resume()
    await new Promise(setImmediate)
  } else run.send(false)
  await run.settle()
  run.check()
  for (const device of run.open) run.end(device)
  return run.world.faults
}
