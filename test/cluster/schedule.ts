import type { Delivery } from '../../src/dispatch/delivery.ts'
import { createPersist } from '../../src/dispatch/persist.ts'
import type { Receipts } from '../../src/dispatch/receipts.ts'
import type { Sweep } from '../../src/dispatch/sweep.ts'
import { StoreAway } from '../../src/errors.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import { type Cursor, formatCursor } from '../../src/notification/cursor.ts'
import { userFrame } from '../../src/notification/frame.ts'
import type { Base, UserLog } from '../../src/store/store.ts'
import { Device, type Item, OWNER, type Parts, World } from '../unit/schedule.ts'

type Task = () => void

/** Order of the steps between nodes: the right one, or a mutant. */
export interface Order {
  /** A node joins the user's topic before it reads where a connection starts. */
  readonly joinsBeforeStart: boolean
  /** A node compares logs with connections after an outage of the bus. */
  readonly audits: boolean
  /** It does so after it has subscribed again. */
  readonly subscribesBeforeAudit: boolean
}

export const RIGHT_ORDER: Order = { joinsBeforeStart: true, audits: true, subscribesBeforeAudit: true }

/** How hints are lost: not at all, with the connection of their node, or without a trace. */
type Losses = 'none' | 'outages' | 'silent'

/** A copy of the log, from which the store may return. */
interface Copy {
  readonly epoch: string
  readonly seq: number
  readonly entries: readonly Item[]
  readonly received: number
  readonly removedThrough: number
  readonly bases: readonly Base[]
}

interface Receipt {
  readonly cursor: Cursor
  readonly node: Node
  readonly at: number
}

const MAX_BASES = 8

/** One log in one store that all nodes share. It may return as an older copy. */
class SharedWorld extends World {
  readonly receipts: Receipt[] = []
  readonly copies: Copy[] = []
  /** By body: an entry that has left stays away, whatever copy returns. */
  readonly gone = new Map<string, Pick<Item, 'gone' | 'goneAt'>>()

  copy(): void {
    const { epoch, seq, receivedThrough, removedThrough, bases } = this
    const entries = this.entries.map(entry => ({ ...entry }))
    this.copies.push({ epoch, seq, entries, received: receivedThrough, removedThrough, bases })
  }

  /** Returns from a copy, sometimes the present one, or empty. The log gets a new epoch. */
  return(): void {
    if (this.pick(3) === 0) this.copy()
    const from = this.pick(5) === 0 ? undefined : this.copies[this.pick(Math.max(1, this.copies.length))]
    for (const entry of this.entries) if (entry.gone !== undefined) this.gone.set(entry.body, entry)
    this.isUnheard = true
    this.epoch = `e${this.lives++}`
    this.seq = from?.seq ?? 0
    this.bases =
      from === undefined ? [] : [...from.bases, { epoch: from.epoch, seq: from.seq }].slice(-MAX_BASES)
    this.entries = (from?.entries ?? []).map(entry => ({
      ...entry,
      ...this.gone.get(entry.body),
      cursor: { epoch: this.epoch, seq: entry.cursor.seq },
    }))
    for (const item of this.entries) this.history.set(formatCursor(item.cursor), item)
    const removed = this.entries.flatMap(({ gone, cursor }) => (gone === 'removed' ? [cursor.seq] : []))
    this.removedThrough = Math.max(from?.removedThrough ?? 0, ...removed)
    this.receivedThrough = from?.received ?? 0
    for (const { epoch, seq } of this.bases)
      this.prove({
        epoch: this.epoch,
        seq: Math.min(seq, this.shared({ epoch, seq: this.proven.get(epoch) ?? 0 })),
      })
  }

  knows(epoch: string): boolean {
    return epoch === this.epoch || this.bases.some(base => base.epoch === epoch)
  }
}

/** A connection of a client to a node. */
class Line extends Device {
  readonly node: Node
  readonly cameAt: number
  /** It began a life of the log at the start: it may repeat what it wrote before. */
  hasStrayed = false
  #life = ''

  readonly client: Client

  constructor(node: Node, client: Client, optedIn: boolean) {
    super(node.run.world, { optedIn, onEnd: () => node.end(this), tasks: node.tasks })
    this.node = node
    this.client = client
    this.cameAt = node.run.world.now
  }

  /** The log's next life has no place in common with the last one. */
  noteLife(): void {
    const isOther = this.#life !== '' && this.epoch !== this.#life && this.position === 0
    this.#life = this.epoch
    if (!isOther) return
    this.hasStrayed = true
    this.client.forgive()
  }

  protected override surelySeen(last: Cursor, next: number): number {
    if (!this.hasStrayed) return super.surelySeen(last, next)
    this.hasStrayed = false
    return next - 1
  }
}

/** Resumes by its own cursor, has none (v1), or presents any cursor. */
type ClientKind = 'resuming' | 'plain' | 'wild'

class Client {
  readonly kind: ClientKind
  readonly #run: Run
  line: Line | undefined
  /** The last that it has read. */
  cursor = ''
  readonly read = new Set<string>()
  /** What it may read again: the store returned from a copy that does not know its epoch. */
  readonly forgiven = new Set<string>()

  constructor(run: Run, kind: ClientKind) {
    this.#run = run
    this.kind = kind
  }

  connect(node: Node): void {
    this.line = node.accept(this, this.#presents())
  }

  #presents(): string | undefined {
    const { world, seen } = this.#run
    if (this.kind === 'resuming') return this.cursor
    return this.kind === 'wild' ? seen[world.pick(seen.length)] : undefined
  }

  /** Without a common place in the log, everything may come again. */
  forgive(): void {
    for (const body of this.read) this.forgiven.add(body)
    for (const item of this.line?.wire ?? []) if ('frame' in item) this.forgiven.add(this.#bodyOf(item.frame))
  }

  noteLife(): void {
    const [known = ''] = this.cursor.split(':')
    if (known !== '' && !this.#run.world.knows(known)) this.forgive()
  }

  #bodyOf(cursor: Cursor): string {
    return this.#run.world.history.get(formatCursor(cursor))?.body ?? ''
  }

  /** Reads some of the wire. */
  takes(most: number): void {
    const { line } = this
    const { world, seen } = this.#run
    for (const item of line?.wire.splice(0, most) ?? []) {
      if ('ping' in item) line?.node.tasks.push(() => line.node.pong(line, item.ping))
      else {
        const body = this.#bodyOf(item.frame)
        if (this.kind === 'resuming' && this.read.has(body) && !this.forgiven.has(body))
          world.fault(`a client that resumes read ${formatCursor(item.frame)} twice`)
        this.read.add(body)
        this.cursor = formatCursor(item.frame)
        seen.push(this.cursor)
        world.prove(item.frame)
      }
    }
  }

  /** The connection breaks; the node notices later. What was on its way is lost. */
  drop(): void {
    const { line } = this
    if (line === undefined) return
    line.wire.length = 0
    line.node.tasks.push(() => line.cut())
    this.line = undefined
  }
}

class Node {
  readonly run: Run
  /** What this process does next, in any order. */
  readonly tasks: Task[] = []
  readonly hub: Hub<Line> = createHub<Line>()
  readonly receipts: Receipts
  readonly delivery: Delivery
  readonly sweep: Sweep
  /** Its subscriber in Redis has the user's topic. */
  isSubscribed = false
  /** It reaches Redis. */
  isLinked = true
  /** Counts its connections to Redis. */
  links = 0
  isFrozen = false
  isDead = false
  /** Frames counted as delivered, and written. */
  told = 0
  readonly lines: Line[] = []

  constructor(run: Run, { createDelivery, createReceipts, createSweep }: Parts) {
    this.run = run
    const log = this.#log()
    this.receipts = createReceipts({ hub: this.hub, log })
    this.delivery = createDelivery({
      log,
      receipts: this.receipts,
      page: { entries: 1 + run.world.pick(3), bytes: 1_000_000 },
      onReplayed: (_, __, seqs) => {
        this.told += seqs.length
      },
      persist: createPersist(() => this.#retry()),
      onFault: error => {
        throw error
      },
      turn: () => this.#turn(),
    })
    this.sweep = createSweep({ hub: this.hub, log, delivery: this.delivery, retry: () => this.#retry() })
  }

  #turn(): Promise<void> {
    return new Promise(resolve => this.tasks.push(resolve))
  }

  async #retry(): Promise<boolean> {
    await this.#turn()
    return true
  }

  /** Asks the store. The question or the answer may be lost. */
  ask<T>(answer: () => T): Promise<T> {
    const { world } = this.run
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const { links } = this
    const fail = () => reject(new StoreAway('away'))
    world.tasks.push(() => {
      if (!this.isLinked || links !== this.links || world.pick(25) === 0) {
        this.tasks.push(fail)
        return
      }
      const value = answer()
      this.tasks.push(() => (links === this.links && world.pick(40) > 0 ? resolve(value) : fail()))
    })
    return promise
  }

  #log(): Pick<UserLog, 'open' | 'heads' | 'count' | 'read' | 'received'> {
    const { world } = this.run
    return {
      open: () => this.ask(() => world.openNow()),
      heads: owners => this.ask(() => owners.map(() => world.head)),
      count: (_, after) => this.ask(() => world.countNow(after)),
      read: (_, after, { entries }) => this.ask(() => world.readNow(after, entries)),
      received: (_, cursor) => {
        world.receipts.push({ cursor, node: this, at: world.now })
        void this.ask(() => world.receivedNow(cursor)).catch(() => {})
      },
    }
  }

  /** Resolves when hints reach this node, or at once while Redis is away. */
  #join(): Promise<void> | undefined {
    if (this.isSubscribed || !this.isLinked) return undefined
    const { links } = this
    const { promise, resolve } = Promise.withResolvers<void>()
    this.run.world.tasks.push(() => {
      if (links === this.links) this.isSubscribed = true
      this.tasks.push(resolve)
    })
    return promise
  }

  /** Leaves the topic some time after the last connection. */
  leave(): void {
    this.run.world.tasks.push(() => {
      if (this.hub.members(OWNER).size === 0) this.isSubscribed = false
    })
  }

  /** The connection to Redis breaks; it connects again later. */
  unlink(): void {
    if (!this.isLinked) return
    this.isLinked = false
    this.isSubscribed = false
    this.links++
    this.tasks.push(() => this.#relink())
  }

  #relink(): void {
    const { world, order } = this.run
    const subscribe = () => {
      this.isSubscribed = this.hub.members(OWNER).size > 0
    }
    this.isLinked = true
    if (!order.audits) world.tasks.push(subscribe)
    else if (!order.subscribesBeforeAudit) {
      world.tasks.push(subscribe)
      this.sweep.start()
    } else
      world.tasks.push(() => {
        subscribe()
        this.tasks.push(() => this.sweep.start())
      })
  }

  accept(client: Client, cursor: string | undefined): Line {
    const line = new Line(this, client, cursor !== undefined)
    this.lines.push(line)
    this.hub.open(line)
    void this.#begin(line, cursor)
    return line
  }

  async #begin(line: Line, cursor: string | undefined): Promise<void> {
    const { world, order } = this.run
    const joined = this.#join()
    if (order.joinsBeforeStart) await joined
    if (line.hasEnded()) return
    const [epoch = '', digits] = cursor?.split(':') ?? []
    if (world.history.has(cursor ?? '')) world.prove({ epoch, seq: Number(digits) })
    const started = await this.delivery.start(line, cursor === undefined ? {} : { cursor })
    if (started?.cursor === undefined) return
    line.startedAt = started.cursor
    line.countsSince = world.now
    if (cursor === undefined) this.#checkStart(line, started.cursor)
    await this.delivery.replay(line)
  }

  /** On one node a receipt must not move the start of a connection that waits for it. */
  #checkStart(line: Line, { epoch, seq }: Cursor): void {
    const { world } = this.run
    if (epoch !== world.epoch || line.receivedBefore.epoch !== epoch) return
    const fair = world.receipts.filter(
      ({ cursor, node, at }) => cursor.epoch === epoch && (node !== this || at <= line.cameAt),
    )
    const before = Math.max(line.receivedBefore.seq, ...fair.map(({ cursor }) => cursor.seq))
    if (seq > before) world.fault(`started at ${seq}, though only ${before} had been received when it came`)
  }

  end(line: Line): void {
    if (!this.hub.has(line)) return
    line.phase = 'ended'
    line.isGone = true
    this.hub.end(line)
    this.delivery.ended(line)
    this.leave()
  }

  pong(line: Line, payload: string): void {
    const [epoch = '', digits] = payload.split(':')
    if (line.hasEnded()) return
    this.run.world.prove({ epoch, seq: Number(digits) })
    const cursor = line.answered(payload)
    if (cursor !== undefined) this.receipts.proved(line, cursor)
  }

  offer({ cursor, body }: Item): void {
    const frame = userFrame(body, cursor)
    for (const line of this.hub.members(OWNER) as ReadonlySet<Line>) {
      const offered = this.delivery.offer(line, cursor, frame)
      if (offered === 'sent' || offered === 'buffered') this.told++
    }
  }

  /** One script appends and publishes; this node offers to its own connections when it has the answer. */
  async send(mayLose = true): Promise<void> {
    const { run } = this
    try {
      const item = await this.ask(() => {
        const appended = run.world.append()
        run.publish(appended, this, mayLose)
        return appended
      })
      this.offer(item)
    } catch {
      // The append may have succeeded: the store calls for a comparison.
      this.sweep.start()
    }
  }

  /** A caller repeats its send at this node: the log knows it. */
  async repeat(item: Item): Promise<void> {
    const { run } = this
    try {
      await this.ask(() => run.publish(item, this))
      this.offer(item)
    } catch {
      this.sweep.start()
    }
  }
}

const KINDS: readonly ClientKind[] = ['resuming', 'resuming', 'plain', 'plain', 'wild']
const MAX_CLIENTS = 5

class Run {
  readonly world: SharedWorld
  readonly order: Order
  readonly losses: Losses
  readonly #parts: Parts
  readonly nodes: Node[]
  readonly ended: Node[] = []
  readonly clients: Client[] = []
  /** Cursors that a client may present. */
  readonly seen: string[] = ['', 'nonsense', 'e99:3']

  constructor(parts: Parts, order: Order, seed: number) {
    this.world = new SharedWorld(seed)
    this.order = order
    this.#parts = parts
    this.losses = (['none', 'outages', 'outages', 'silent'] as const)[seed % 4] ?? 'none'
    this.nodes = Array.from({ length: 1 + this.world.pick(3) }, () => new Node(this, parts))
  }

  /** Redis passes a hint to every subscribed node; the node of the sender ignores it. */
  publish(item: Item, from: Node, mayLose = true): void {
    const { world } = this
    for (const node of this.nodes) {
      if (node === from || !node.isSubscribed) continue
      if (this.losses === 'silent' && mayLose && world.pick(5) === 0) continue
      const { links } = node
      world.tasks.push(() => {
        // A broken connection loses what was on its way.
        if (links === node.links) node.tasks.push(() => node.offer(item))
      })
    }
  }

  get #awake(): Node[] {
    return this.nodes.filter(({ isFrozen }) => !isFrozen)
  }

  #any<T>(items: readonly T[]): T | undefined {
    return items[this.world.pick(Math.max(1, items.length))]
  }

  /** Runs one task of the store, the network or a node; false if there is none. */
  work(): boolean {
    for (const client of this.clients) client.noteLife()
    for (const { hub } of this.nodes)
      for (const line of hub.members(OWNER) as ReadonlySet<Line>) line.noteLife()
    const queues = [this.world.tasks, ...this.#awake.map(({ tasks }) => tasks)].filter(
      ({ length }) => length > 0,
    )
    const queue = this.#any(queues)
    queue?.splice(this.world.pick(queue.length), 1)[0]?.()
    return queue !== undefined
  }

  connect(): void {
    const { world, clients } = this
    const away = clients.filter(({ line }) => line === undefined)
    const isNew = clients.length < MAX_CLIENTS && (away.length === 0 || world.pick(2) === 0)
    const client = isNew ? new Client(this, KINDS[world.pick(KINDS.length)] ?? 'plain') : this.#any(away)
    const node = this.#any(this.#awake)
    if (client === undefined || node === undefined) return
    if (isNew) clients.push(client)
    client.connect(node)
  }

  connectAll(): void {
    for (const client of this.clients) {
      const node = this.#any(this.nodes)
      if (client.line === undefined && node !== undefined) client.connect(node)
    }
  }

  /** kill -9: its connections end, and another process takes its place. */
  crash(node: Node): void {
    node.isDead = true
    node.isSubscribed = false
    node.isLinked = false
    node.links++
    this.ended.push(node)
    this.nodes.splice(this.nodes.indexOf(node), 1, new Node(this, this.#parts))
    for (const client of this.clients)
      if (client.line?.node === node) {
        // Some of what the kernel has sent still arrives.
        client.takes(this.world.pick(4))
        client.drop()
      }
  }

  /** SIGSTOP: sooner or later the others end its subscriptions. */
  freeze(node: Node): void {
    node.isFrozen = true
    if (this.losses === 'outages' && this.world.pick(2) === 0) this.world.tasks.push(() => node.unlink())
  }

  return(): void {
    this.world.return()
    // Its former process is gone, and so are all connections to it; not so after a FLUSHALL.
    if (this.losses === 'outages') for (const node of this.nodes) node.unlink()
  }

  step(): void {
    const { world } = this
    world.now++
    this.#noticeEnds()
    const dice = world.pick(400)
    const node = this.#any(this.#awake)
    const client = this.#any(this.clients.filter(({ line }) => line !== undefined))
    if (dice < 270) this.work()
    else if (dice < 300) void node?.send()
    else if (dice < 304) {
      const item = this.#any(world.alive)
      if (item !== undefined) void node?.repeat(item)
    } else if (dice < 328) client?.takes(1 + world.pick(4))
    else if (dice < 350) this.connect()
    else if (dice < 360) client?.drop()
    else if (dice < 364) world.lose('expired')
    else if (dice < 368) world.lose('removed')
    else if (dice < 371) world.copy()
    else if (dice < 375 && this.losses !== 'none') this.return()
    else if (dice < 382 && this.losses === 'outages') this.#any(this.nodes)?.unlink()
    else if (dice < 386 && node !== undefined) this.crash(node)
    else if (dice < 390 && node !== undefined) this.freeze(node)
    else if (dice < 396) this.#thaw()
    else if (client?.line !== undefined) client.line.answered('e0:1 unsolicited')
  }

  #thaw(): void {
    for (const node of this.nodes) node.isFrozen = false
  }

  /** A client notices that its node has ended the connection. */
  #noticeEnds(): void {
    for (const client of this.clients)
      if (client.line?.hasEnded()) {
        client.takes(this.world.pick(4))
        client.drop()
      }
  }

  async settle(): Promise<void> {
    this.#thaw()
    for (let n = 0; n < 4_000; n++) {
      // Work may begin in this turn.
      await new Promise(setImmediate)
      if (!this.work()) return
    }
    this.world.fault('it never comes to rest')
  }

  /** Every client reads all that it was sent, until nothing more comes. */
  async readAll(): Promise<void> {
    await this.settle()
    for (let more = true; more; ) {
      this.#noticeEnds()
      more = this.clients.some(({ line }) => line !== undefined && line.wire.length > 0)
      for (const client of this.clients) client.takes(Number.POSITIVE_INFINITY)
      await this.settle()
    }
  }

  check(): void {
    const { world } = this
    for (const node of [...this.nodes, ...this.ended]) {
      const written = node.lines.reduce((sum, line) => sum + line.written.length, 0)
      if (node.told !== written) world.fault(`${written} frames were written, ${node.told} told of`)
    }
    this.checkLevel()
    for (const { kind, read } of this.clients)
      if (kind === 'resuming')
        for (const { cursor, body } of world.alive)
          if (!read.has(body)) world.fault(`lost ${formatCursor(cursor)}`)
  }

  /** At a quiet moment every connection has everything. */
  checkLevel(): void {
    const { world } = this
    for (const node of this.nodes)
      for (const { phase, epoch, position } of node.hub.members(OWNER))
        if (phase !== 'live' || epoch !== world.epoch || position !== world.seq)
          world.fault(`${phase} at ${epoch}:${position}, the head is ${world.epoch}:${world.seq}`)
  }

  /** What no device has read reaches the next one without a cursor. */
  async checkUser(): Promise<void> {
    const last = new Client(this, 'plain')
    this.clients.push(last)
    const [node] = this.nodes
    if (node !== undefined) last.connect(node)
    await this.readAll()
    const read = new Set(this.clients.flatMap(client => [...client.read]))
    for (const { cursor, body } of this.world.alive)
      if (!read.has(body)) this.world.fault(`no device read ${formatCursor(cursor)}`)
  }
}

const ROUNDS = 3
const STEPS = 70

/** Plays one schedule of one to three nodes and returns the faults that it shows. */
export async function playNodes(parts: Parts, seed: number, order = RIGHT_ORDER): Promise<readonly string[]> {
  const run = new Run(parts, order, seed)
  run.connect()
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < STEPS; n++) {
      run.step()
      await new Promise(setImmediate)
    }
    await run.settle()
    // A hint lost without a trace may have been the last one; the next one shows the gap.
    if (run.losses === 'silent') for (const node of run.nodes) void node.send(false)
    await run.settle()
    run.checkLevel()
    await run.readAll()
    run.connectAll()
    await run.readAll()
    run.check()
  }
  await run.checkUser()
  return run.world.faults
}
