import type { Bus, BusTopic } from '../../src/bus/bus.ts'
import { StoreAway } from '../../src/errors.ts'

/** A bus between nodes in one process, for tests that lose or delay messages. */
export interface MemoryBusNetwork {
  connect(instance: string): Bus & { readonly joined: ReadonlySet<BusTopic> }
  /** Messages for which it returns true are lost on their way to the node. */
  lose: (topic: BusTopic, message: string, to: string) => boolean
  /** A message for which it returns a promise arrives after that. */
  hold: (topic: BusTopic, message: string, to: string) => Promise<unknown> | undefined
  /** Nodes whose connection to the bus is cut. */
  readonly cut: Set<string>
  /** Nodes that do nothing: they neither receive nor publish, and still count as subscribers. */
  readonly frozen: Set<string>
  /** Subscribers of a topic that are no nodes. */
  readonly foreign: Map<BusTopic, number>
}

/** Each message arrives in a later turn, in the order of the calls. */
export function createMemoryBusNetwork(): MemoryBusNetwork {
  const nodes = new Map<
    string,
    { readonly joined: Set<BusTopic>; receive: (topic: BusTopic, message: string) => void }
  >()
  const cut = new Set<string>()
  const frozen = new Set<string>()
  const foreign = new Map<BusTopic, number>()

  const network: MemoryBusNetwork = {
    lose: () => false,
    hold: () => undefined,
    cut,
    frozen,
    foreign,
    connect: instance => {
      const node = { joined: new Set<BusTopic>(), receive: (_: BusTopic, __: string): void => {} }
      nodes.set(instance, node)
      const publish = async (topic: BusTopic, message: string): Promise<number> => {
        if (cut.has(instance)) throw new StoreAway('the bus is away')
        if (frozen.has(instance)) return new Promise(() => {})
        let reached = foreign.get(topic) ?? 0
        for (const [name, other] of nodes) {
          if (cut.has(name) || !other.joined.has(topic)) continue
          reached++
          if (frozen.has(name) || network.lose(topic, message, name)) continue
          const arrive = () => other.receive(topic, message)
          const held = network.hold(topic, message, name)
          if (held === undefined) setImmediate(arrive)
          else void held.then(arrive)
        }
        return reached
      }
      const isAlone = (topic: BusTopic): boolean =>
        node.joined.has(topic) &&
        !cut.has(instance) &&
        !frozen.has(instance) &&
        !foreign.has(topic) &&
        [...nodes].every(([name, other]) => name === instance || cut.has(name) || !other.joined.has(topic))
      return {
        kind: 'redis',
        instance,
        joined: node.joined,
        subscriber: instance,
        isUp: () => !cut.has(instance),
        listen: receive => {
          node.receive = receive
        },
        publish,
        publishToOthers: async (topic, message) => (isAlone(topic) ? 0 : publish(topic, message)),
        join: topic => void node.joined.add(topic),
        leave: topic => void node.joined.delete(topic),
        evict: async subscriber => void nodes.get(subscriber)?.joined.clear(),
        [Symbol.asyncDispose]: async () => void nodes.delete(instance),
      }
    },
  }
  return network
}
