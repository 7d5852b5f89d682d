import type { BusTopic } from '../../src/bus/bus.ts'
import { type Calls, createCalls } from '../../src/dispatch/cluster/calls.ts'
import type { createClusterReach as CreateClusterReach } from '../../src/dispatch/cluster/cluster-reach.ts'
import type { createInterest as CreateInterest, Interest } from '../../src/dispatch/cluster/interest.ts'
import { createPushSource } from '../../src/dispatch/cluster/pushes.ts'
import type { Delivery } from '../../src/dispatch/delivery.ts'
import { createLocalCensus } from '../../src/dispatch/local-census.ts'
import { createLocalReach } from '../../src/dispatch/local-reach.ts'
import { createPersist } from '../../src/dispatch/persist.ts'
import type { Reach } from '../../src/dispatch/reach.ts'
import type { Receipts } from '../../src/dispatch/receipts.ts'
import type { Sweep } from '../../src/dispatch/sweep.ts'
import { StoreAway } from '../../src/errors.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { topicOfBusChannel } from '../../src/notification/bus-channel.ts'
import { type Cursor, formatCursor } from '../../src/notification/cursor.ts'
import { createTally } from '../../src/observe/tally.ts'
import { type PushSource, referenceTo } from '../../src/store/push.ts'
import type { UserLog } from '../../src/store/store.ts'
import { Device, type Item, OWNER, type Parts } from '../unit/schedule.ts'
import { SharedWorld } from './shared-world.ts'
import { Network, SimulatedBus } from './simulated-bus.ts'

/** The parts under test of each node: the real ones, or a mutant. */
export interface NodeParts extends Parts {
  readonly createInterest: typeof CreateInterest
  readonly createClusterReach: typeof CreateClusterReach
}

/** Database of the bus. */
const DB = 0

const onFault = (error: unknown): never => {
  throw error
}

const notHere = (): never => {
  throw new Error('these schedules have no crowds and no limits')
}

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
  /** Entries that it may read again: the store returned from a copy that does not know its epoch. */
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
  /** Next steps of this process, in any order. */
  readonly tasks: Task[] = []
  readonly hub: Hub<Line>
  readonly receipts: Receipts
  readonly delivery: Delivery
  readonly sweep: Sweep
  readonly bus: SimulatedBus
  readonly calls: Calls
  readonly #pushes: PushSource
  readonly #interest: Interest
  readonly #reach: Reach
  isFrozen = false
  /** Frames counted as delivered, and written. */
  told = 0
  readonly lines: Line[] = []

  constructor(run: Run, parts: NodeParts, instance: string) {
    this.run = run
    const log = this.#log()
    const retry = () => this.#retry()
    this.bus = new SimulatedBus({
      network: run.network,
      instance,
      tasks: this.tasks,
      onBack: () => {
        if (run.order.audits) this.sweep.start()
      },
      isHasty: !run.order.subscribesBeforeAudit,
    })
    this.calls = createCalls({ bus: this.bus, onFault })
    this.hub = createHub<Line>({
      opened: topic => void this.bus.join(topic),
      closed: topic => this.bus.leave(topic),
    })
    const { hub, calls } = this
    this.#pushes = createPushSource(calls, DB)
    this.#interest = parts.createInterest({ bus: this.bus, hub })
    this.receipts = parts.createReceipts({ hub, log })
    this.delivery = parts.createDelivery({
      log,
      receipts: this.receipts,
      page: { entries: 1 + run.world.pick(3), bytes: 1_000_000 },
      onReplayed: (_, __, seqs) => {
        this.told += seqs.length
      },
      persist: createPersist(retry),
      onFault,
      turn: () => this.#turn(),
    })
    this.sweep = parts.createSweep({ hub, log, delivery: this.delivery, retry })
    const local = createLocalReach({
      hub,
      crowd: { send: notHere },
      census: createLocalCensus({
        hub,
        tally: createTally(),
        node: { id: instance, version: '', since: '' },
      }),
      offer: this.delivery.offer,
      onHanded: () => {},
      crowdAcks: undefined,
      onWritten: (_, delivered) => {
        this.told += delivered
      },
      onLive: () => {},
      clock: systemClock,
    })
    this.#reach = parts.createClusterReach({
      local,
      census: local.census,
      countElsewhere: notHere,
      calls,
      instance,
      behind: (owner, head) => {
        for (const line of hub.members(owner)) this.delivery.behind(line, head)
      },
      clock: systemClock,
      tracing: undefined,
    })
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
    const { links } = this.bus
    const isBroken = () => !this.bus.isUp() || links !== this.bus.links
    const fail = () => reject(new StoreAway('away'))
    world.tasks.push(() => {
      if (isBroken() || world.pick(25) === 0) {
        this.tasks.push(fail)
        return
      }
      const value = answer()
      this.tasks.push(() => (isBroken() || world.pick(40) === 0 ? fail() : resolve(value)))
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

  accept(client: Client, cursor: string | undefined): Line {
    const line = new Line(this, client, cursor !== undefined)
    this.lines.push(line)
    this.hub.open(line)
    void this.#begin(line, cursor)
    return line
  }

  async #begin(line: Line, cursor: string | undefined): Promise<void> {
    const { world, order } = this.run
    const joined = this.#interest.join([OWNER])
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
  }

  pong(line: Line, payload: string): void {
    const [epoch = '', digits] = payload.split(':')
    if (line.hasEnded()) return
    this.run.world.prove({ epoch, seq: Number(digits) })
    const cursor = line.answered(payload)
    if (cursor !== undefined) this.receipts.proved(line, cursor)
  }

  /** A send, or its repeat with an entry that the log knows. One script appends and publishes. */
  async send(known?: Item): Promise<void> {
    const { world } = this.run
    const id = this.#pushes.begin()
    const head = this.#pushes.headOf(id)
    const append = () => {
      const item = known ?? world.append()
      return { item, nodes: this.#publish(item, known !== undefined, head) }
    }
    try {
      const { item, nodes } = await this.ask(append)
      const push = nodes > 0 ? { id, nodes } : undefined
      const entry = { owner: OWNER, cursor: item.cursor, repeated: known !== undefined, push }
      await this.#reach.offer([entry], item.body, systemClock.monotonic())
    } catch (error) {
      if (!(error instanceof StoreAway)) throw error
      // The append may have succeeded: the store calls for a comparison.
      this.sweep.start()
    }
  }

  /** The part of the script that publishes; some bodies travel apart. */
  #publish({ cursor, body }: Item, repeated: boolean, head: string): number {
    const { world, network } = this.run
    const isShared = world.pick(4) === 0
    if (isShared) {
      const { channel, message } = this.#pushes.share('default', body, body)
      network.publish(topicOfBusChannel(DB, channel) as BusTopic, message)
    }
    const place = `${cursor.epoch} ${cursor.seq} ${repeated ? 1 : 0} 0.0 0.0`
    const text = isShared ? referenceTo(body, body.length) : body
    return network.publish(OWNER, `${head}\n${place}\n${text}`)
  }
}

const KINDS: readonly ClientKind[] = ['resuming', 'resuming', 'plain', 'plain', 'wild']
const MAX_CLIENTS = 5

class Run {
  readonly world: SharedWorld
  readonly order: Order
  readonly losses: Losses
  readonly network: Network
  readonly #parts: NodeParts
  readonly nodes: Node[]
  readonly ended: Node[] = []
  readonly clients: Client[] = []
  /** Cursors that a client may present. */
  readonly seen: string[] = ['', 'nonsense', 'e99:3']

  constructor(parts: NodeParts, order: Order, seed: number) {
    this.world = new SharedWorld(seed)
    this.order = order
    this.#parts = parts
    this.losses = (['none', 'outages', 'outages', 'silent'] as const)[seed % 4] ?? 'none'
    this.network = new Network(this.world)
    this.network.loses = this.losses === 'silent'
    this.nodes = Array.from({ length: 1 + this.world.pick(3) }, () => this.#startNode())
  }

  #started = 0
  #startNode(): Node {
    return new Node(this, this.#parts, `n${this.#started++}`)
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
    node.bus.kill()
    node.calls[Symbol.dispose]()
    this.ended.push(node)
    this.nodes.splice(this.nodes.indexOf(node), 1, this.#startNode())
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
    if (this.losses === 'outages' && this.world.pick(2) === 0) this.world.tasks.push(() => node.bus.break())
  }

  return(): void {
    this.world.return()
    // Its former process is gone, and so are all connections to it; not so after a FLUSHALL.
    if (this.losses === 'outages') for (const node of this.nodes) node.bus.break()
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
      if (item !== undefined) void node?.send(item)
    } else if (dice < 328) client?.takes(1 + world.pick(4))
    else if (dice < 350) this.connect()
    else if (dice < 360) client?.drop()
    else if (dice < 364) world.lose('expired')
    else if (dice < 368) world.lose('removed')
    else if (dice < 371) world.copy()
    else if (dice < 375 && this.losses !== 'none') this.return()
    else if (dice < 382 && this.losses === 'outages') this.#any(this.nodes)?.bus.break()
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

  /** Sends whose hints are not lost. */
  async sendToAll(): Promise<void> {
    this.network.loses = false
    for (const node of this.nodes) void node.send()
    await this.settle()
    this.network.loses = true
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

  /** Entries that no device has read reach the next one without a cursor. */
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
export async function playNodes(
  parts: NodeParts,
  seed: number,
  order = RIGHT_ORDER,
): Promise<readonly string[]> {
  const run = new Run(parts, order, seed)
  run.connect()
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < STEPS; n++) {
      run.step()
      await new Promise(setImmediate)
    }
    await run.settle()
    // A hint lost without a trace may have been the last one; the next one shows the gap.
    if (run.losses === 'silent') await run.sendToAll()
    run.checkLevel()
    await run.readAll()
    run.connectAll()
    await run.readAll()
    run.check()
  }
  await run.checkUser()
  for (const { calls } of run.nodes) calls[Symbol.dispose]()
  return run.world.faults
}
