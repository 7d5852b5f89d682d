import { ALL_NODES, type Bus } from '../../bus/bus.ts'
import { every } from '../../lib/time/every.ts'
import type { NodeIdentity } from '../census.ts'
import type { Calls } from './calls.ts'

/** Another node of the cluster. */
export interface Member extends NodeIdentity {
  /** Its random name on the bus; two nodes may share an `id`. */
  readonly instance: string
}

/** The nodes of the cluster. Each publishes a heartbeat that all nodes hear. */
export interface Members extends Disposable {
  /** Other nodes heard of within the last seconds, in no order. */
  others(): readonly Member[]
  /** Notes a sign of life. A message of this node proves that the bus delivers. */
  heard(instance: string): void
  /**
   * Takes the nodes that did answer a call with missing answers. True when another node was silent all the time: its
   * subscriptions end, so the next calls do not wait for it.
   */
  missed(answered: readonly string[]): boolean
}

interface MembersOptions {
  readonly node: NodeIdentity
  readonly bus: Pick<Bus, 'instance' | 'subscriber' | 'evict' | 'isUp'>
  readonly calls: Pick<Calls, 'on' | 'tell'>
  readonly onEvicted: (member: Member) => void
}

/** Counts ticks, not clock time: a stall of this node must not blame others. */
const TICK_MS = 125
/** Up to this number of nodes each publishes a heartbeat per tick; with twice as many, one per two ticks. */
const NODES_PER_TICK = 5
/** Ticks of the time to answer: a node that was heard of since the question is alive. */
const DEADLINE = 3
/** Heartbeats missed until a node no longer counts as a member. */
const FORGOTTEN_AFTER = 16

const BEAT = 'beat'

interface Known extends Member {
  readonly subscriber: string | undefined
  heardAt: number
  /** It left a call unanswered and has been silent since. */
  isSuspect: boolean
}

export function createMembers({ node, bus, calls, onEvicted }: MembersOptions): Members {
  const known = new Map<string, Known>()
  let tick = 0
  /** Tick at which the last message of this node came around. */
  let echoAt = 0

  const interval = (): number => Math.ceil((known.size + 1) / NODES_PER_TICK)

  /** A live node is silent for one interval. Silence counts only while the bus delivers. */
  const isSilent = ({ heardAt }: Known): boolean => echoAt - heardAt >= interval() + 2

  const evict = (member: Known): void => {
    known.delete(member.instance)
    if (member.subscriber !== undefined) void bus.evict(member.subscriber)
    onEvicted(member)
  }

  const evictSilent = (): void => {
    for (const member of known.values()) if (member.isSuspect && isSilent(member)) evict(member)
  }

  const heard = (instance: string): void => {
    if (instance === bus.instance) {
      echoAt = tick
      evictSilent()
      return
    }
    const member = known.get(instance)
    if (member === undefined) return
    member.heardAt = tick
    member.isSuspect = false
  }

  calls.on(BEAT, (text, _, instance) => {
    const [id, version, since, subscriber] = JSON.parse(text) as readonly [string, string, string, string?]
    known.set(instance, { instance, id, version, since, subscriber, heardAt: tick, isSuspect: false })
    return ''
  })

  const beat = (): Promise<void> => {
    const { id, version, since } = node
    return calls.tell(ALL_NODES, BEAT, JSON.stringify([id, version, since, bus.subscriber]))
  }

  const ticks = every(TICK_MS, () => {
    tick++
    const silence = interval() * FORGOTTEN_AFTER
    for (const { instance, heardAt } of known.values()) if (tick - heardAt > silence) known.delete(instance)
    // A failed heartbeat needs no report: health shows the state of the bus.
    if (bus.isUp() && tick % interval() === 0) beat().catch(() => {})
  })

  return {
    others: () => [...known.values()],
    heard,
    missed: answered => {
      let found = false
      for (const member of known.values()) {
        if (answered.includes(member.instance) || tick - member.heardAt < DEADLINE) continue
        member.isSuspect = true
        found = true
      }
      evictSilent()
      return found
    },
    [Symbol.dispose]: () => ticks[Symbol.dispose](),
  }
}
