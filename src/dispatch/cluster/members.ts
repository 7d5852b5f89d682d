import { ALL_NODES, type Bus } from '../../bus/bus.ts'
import { every } from '../../lib/time/every.ts'
import type { NodeIdentity } from '../census.ts'
import type { Calls } from './calls.ts'

/** Another node of the cluster. */
export interface Member extends NodeIdentity {
  /** Its random name on the bus; two nodes may share an `id`. */
  readonly instance: string
}

/** The nodes of the cluster. Each publishes a heartbeat that all nodes receive. */
export interface Members extends Disposable {
  /** Other nodes, silent ones included until their subscriptions end; in no order. */
  others(): readonly Member[]
  /** Nodes that left a call unanswered and have been silent since. Calls do not wait for them. */
  silent(): readonly Member[]
  /** Notes a sign of life. A message of this node proves that the bus delivers. */
  noteMessage(instance: string): void
  /** Takes the nodes that did answer a call with missing answers. True when another node was silent all the time. */
  missed(answered: readonly string[]): boolean
}

interface MembersOptions {
  readonly node: NodeIdentity
  readonly bus: Pick<Bus, 'instance' | 'subscriber' | 'evict' | 'isUp'>
  readonly calls: Pick<Calls, 'on' | 'tell'>
  /** Called when calls cease to wait for a node. */
  readonly onSilent: (member: Member) => void
}

/** Counts ticks, not clock time: a stall of this node must not blame others. */
const TICK_MS = 125
/** Up to this number of nodes each publishes a heartbeat per tick; with twice as many, one per two ticks. */
const NODES_PER_TICK = 5
/** Ticks of the time to answer: a node whose message arrived since the question is alive. */
const DEADLINE = 3
/** Ticks of silence, 2.5 s, after which the subscriptions of a node end. A node without a free core is silent for less. */
const EVICTED_AFTER = 20
/** Heartbeats missed, beyond EVICTED_AFTER, until a node no longer counts as a member while the bus is away. */
const FORGOTTEN_AFTER = 16

const BEAT = 'beat'

const NONE: readonly Member[] = []

interface Known extends Member {
  readonly subscriber: string | undefined
  /** Ticks of this node, and of the time during which the bus delivered. */
  seenAt: number
  messageAt: number
  /** It left a call unanswered and has been silent since. */
  isSuspect: boolean
  isTold: boolean
}

export function createMembers({ node, bus, calls, onSilent }: MembersOptions): Members {
  const known = new Map<string, Known>()
  let tick = 0
  /** Tick at which the last message of this node came around. */
  let echoAt = 0
  /** Ticks during which the bus delivered. An outage counts as one interval, so it makes no node silent. */
  let delivered = 0
  let hasSuspects = false

  const interval = (): number => Math.ceil((known.size + 1) / NODES_PER_TICK)

  const silenceOf = ({ messageAt }: Known): number => delivered - messageAt
  /** A live node is silent for one interval. */
  const isSilent = (member: Known): boolean => member.isSuspect && silenceOf(member) >= interval() + 2

  const evict = (member: Known): void => {
    known.delete(member.instance)
    if (member.subscriber !== undefined) void bus.evict(member.subscriber)
  }

  const review = (): void => {
    hasSuspects = false
    for (const member of known.values()) {
      if (member.isSuspect) hasSuspects = true
      if (silenceOf(member) >= interval() + EVICTED_AFTER) evict(member)
      if (member.isTold || !isSilent(member)) continue
      member.isTold = true
      onSilent(member)
    }
  }

  const noteMessage = (instance: string): void => {
    if (instance === bus.instance) {
      if (echoAt === tick) return
      delivered += Math.min(tick - echoAt, interval())
      echoAt = tick
      review()
      return
    }
    const member = known.get(instance)
    if (member === undefined) return
    member.seenAt = tick
    member.messageAt = delivered
    member.isSuspect = false
    member.isTold = false
  }

  calls.on(BEAT, (text, _, instance) => {
    const [id, version, since, subscriber] = JSON.parse(text) as readonly [string, string, string, string?]
    const signs = { seenAt: tick, messageAt: delivered, isSuspect: false, isTold: false }
    known.set(instance, { instance, id, version, since, subscriber, ...signs })
    return ''
  })

  const beat = (): Promise<void> => {
    const { id, version, since } = node
    return calls.tell(ALL_NODES, BEAT, JSON.stringify([id, version, since, bus.subscriber]))
  }

  const ticks = every(TICK_MS, () => {
    tick++
    const silence = interval() * FORGOTTEN_AFTER + EVICTED_AFTER
    for (const { instance, seenAt } of known.values()) if (tick - seenAt > silence) known.delete(instance)
    // A failed heartbeat needs no report: health shows the state of the bus.
    if (bus.isUp() && tick % interval() === 0) beat().catch(() => {})
  })

  return {
    others: () => [...known.values()],
    silent: () => (hasSuspects ? [...known.values()].filter(isSilent) : NONE),
    noteMessage,
    missed: answered => {
      let found = false
      for (const member of known.values()) {
        if (answered.includes(member.instance) || tick - member.seenAt < DEADLINE) continue
        member.isSuspect = true
        found = true
      }
      review()
      return found
    },
    [Symbol.dispose]: () => ticks[Symbol.dispose](),
  }
}
