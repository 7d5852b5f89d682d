import type { Bus, BusTopic } from '../../src/bus/bus.ts'
import { StoreAway } from '../../src/errors.ts'

type Task = () => void

interface NetworkOptions {
  readonly pick: (n: number) => number
  /** Work of Redis and of the network, in any order. */
  readonly tasks: Task[]
}

/** Redis Pub/Sub between simulated nodes. Messages are delayed and reordered. A broken connection loses those on their way. */
export class Network {
  readonly pick: NetworkOptions['pick']
  readonly tasks: Task[]
  readonly #buses = new Set<SimulatedBus>()
  /** Whether messages may also vanish without a trace. */
  loses = false

  constructor({ pick, tasks }: NetworkOptions) {
    this.pick = pick
    this.tasks = tasks
  }

  add(bus: SimulatedBus): void {
    this.#buses.add(bus)
  }

  /** Runs inside Redis. */
  subscribersOf(topic: BusTopic): number {
    return [...this.#buses].filter(bus => bus.subscribed.has(topic)).length
  }

  /** Runs inside Redis; returns the number of subscribers. */
  publish(topic: BusTopic, message: string): number {
    let reached = 0
    for (const bus of this.#buses) {
      if (!bus.subscribed.has(topic)) continue
      reached++
      if (this.loses && this.pick(5) === 0) continue
      const { links } = bus
      this.tasks.push(() => {
        if (links === bus.links) bus.tasks.push(() => bus.receive(topic, message))
      })
    }
    return reached
  }
}

interface BusOptions {
  readonly network: Network
  readonly instance: string
  /** Work of the node, in any order. */
  readonly tasks: Task[]
  /** Called after an outage, when all topics are subscribed again. */
  readonly onBack: () => void
  /** Calls `onBack` too early: a mutant. */
  readonly isHasty: boolean
}

/** The bus as one node sees it, with the joins and leaves of the one over Redis. */
export class SimulatedBus implements Bus {
  readonly kind = 'redis'
  readonly instance: string
  readonly tasks: Task[]
  /** Topics that Redis has confirmed to this node. */
  readonly subscribed = new Set<BusTopic>()
  /** Counts the connections to Redis. */
  links = 0
  receive = (_: BusTopic, __: string): void => {}
  readonly #network: Network
  readonly #onBack: () => void
  readonly #isHasty: boolean
  /** Joined topics, each with the promise of its subscription until that is confirmed. */
  readonly #joined = new Map<BusTopic, Promise<void> | undefined>()
  readonly #leaving = new Set<BusTopic>()
  #isLinked = true
  #isDead = false

  constructor({ network, instance, tasks, onBack, isHasty }: BusOptions) {
    this.#network = network
    this.instance = instance
    this.tasks = tasks
    this.#onBack = onBack
    this.#isHasty = isHasty
    network.add(this)
  }

  isUp(): boolean {
    return this.#isLinked
  }

  get subscriber(): string | undefined {
    return this.#isLinked ? this.instance : undefined
  }

  listen(receive: (topic: BusTopic, message: string) => void): void {
    this.receive = receive
  }

  publish(topic: BusTopic, message: string): Promise<number> {
    return this.#publish(() => this.#network.publish(topic, message))
  }

  publishToOthers(topic: BusTopic, message: string): Promise<number> {
    const isAlone = () => this.subscribed.has(topic) && this.#network.subscribersOf(topic) === 1
    return this.#publish(() => (isAlone() ? 0 : this.#network.publish(topic, message)))
  }

  #publish(run: () => number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const { links } = this
    const isBroken = () => !this.#isLinked || links !== this.links
    const fail = () => reject(new StoreAway('the bus is away'))
    this.#network.tasks.push(() => {
      const reached = isBroken() ? 0 : run()
      this.tasks.push(() => (isBroken() ? fail() : resolve(reached)))
    })
    return promise
  }

  join(topic: BusTopic): Promise<void> | undefined {
    this.#leaving.delete(topic)
    if (this.#joined.has(topic)) return this.#joined.get(topic)
    if (!this.#isLinked) {
      this.#joined.set(topic, undefined)
      return undefined
    }
    const { links } = this
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#joined.set(topic, promise)
    this.#network.tasks.push(() => {
      if (links === this.links && this.#joined.has(topic)) this.subscribed.add(topic)
      this.tasks.push(() => {
        if (this.#joined.get(topic) === promise) this.#joined.set(topic, undefined)
        resolve()
      })
    })
    return promise
  }

  leave(topic: BusTopic): void {
    if (!this.#joined.has(topic) || this.#leaving.has(topic)) return
    this.#leaving.add(topic)
    this.tasks.push(() => {
      if (!this.#leaving.delete(topic)) return
      this.#joined.delete(topic)
      this.#network.tasks.push(() => {
        if (!this.#joined.has(topic)) this.subscribed.delete(topic)
      })
    })
  }

  async evict(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The connection to Redis breaks; the node connects again later. */
  break(): void {
    if (!this.#isLinked || this.#isDead) return
    this.#isLinked = false
    this.subscribed.clear()
    this.links++
    this.tasks.push(() => this.#connect())
  }

  /** The process is gone. */
  kill(): void {
    this.#isDead = true
    this.#isLinked = false
    this.subscribed.clear()
    this.links++
  }

  #connect(): void {
    const { links } = this
    this.#isLinked = true
    if (this.#isHasty) this.#onBack()
    this.#network.tasks.push(() => {
      if (links !== this.links) return
      for (const topic of this.#joined.keys()) this.subscribed.add(topic)
      if (!this.#isHasty) this.tasks.push(() => this.#onBack())
    })
  }
}
