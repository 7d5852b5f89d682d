import { createLRU } from 'lru.min'
import { ALL_NODES, type BusTopic } from '../../bus/bus.ts'
import { StoreAway } from '../../errors.ts'
import type { OnFault } from '../../observe/fault.ts'
import type { Calls, Foreign, MissedCall } from './calls.ts'

/** Remembers subscribers of bus topics that are no nodes: no call waits for them twice. */
export interface ForeignSubscribers extends Foreign {
  /** `nodes` of the topic's subscribers answered that they are nodes. False if that was known. */
  learn(topic: BusTopic, subscribers: number, nodes: number): boolean
}

interface Surplus {
  /** Holds for this number of subscribers only: any change may concern a node. */
  readonly subscribers: number
  readonly foreign: number
}

/** Bound on remembered topics. */
const MAX_TOPICS = 10_000

const JOINED = 'joined'
const YES = 'yes'

export function createForeign(): ForeignSubscribers {
  const known = createLRU<BusTopic, Surplus>({ max: MAX_TOPICS })
  return {
    of: (topic, subscribers) => {
      const surplus = known.get(topic)
      return surplus?.subscribers === subscribers ? surplus.foreign : 0
    },
    forget: topic => void known.delete(topic),
    learn: (topic, subscribers, nodes) => {
      if (subscribers <= nodes) return false
      known.set(topic, { subscribers, foreign: subscribers - nodes })
      return true
    },
  }
}

interface CheckOptions {
  readonly calls: Pick<Calls, 'on' | 'ask'>
  readonly foreign: ForeignSubscribers
  readonly isJoined: (topic: BusTopic) => boolean
  /** Number of other known nodes. */
  readonly others: () => number
  /** Called when a topic has foreign subscribers. */
  readonly onFound: (topic: BusTopic) => void
  readonly onFault: OnFault
}

/** Counts the nodes that joined the topic of a call without all answers. */
export function createForeignCheck({ calls, foreign, isJoined, others, onFound, onFault }: CheckOptions) {
  const checking = new Set<BusTopic>()
  calls.on(JOINED, topic => (isJoined(topic as BusTopic) ? YES : ''))

  /** Undefined when a node did not answer: it may have joined the topic. */
  const nodesIn = async (topic: BusTopic): Promise<number | undefined> => {
    if (topic === ALL_NODES) return others() + 1
    const { texts } = await calls.ask(ALL_NODES, JOINED, topic)
    if (texts.length < others()) return undefined
    return texts.filter(text => text === YES).length + (isJoined(topic) ? 1 : 0)
  }

  const check = async ({ topic, nodes: subscribers }: MissedCall): Promise<void> => {
    const nodes = await nodesIn(topic)
    if (nodes !== undefined && foreign.learn(topic, subscribers, nodes)) onFound(topic)
  }

  return (missed: MissedCall): void => {
    if (checking.has(missed.topic)) return
    checking.add(missed.topic)
    check(missed)
      .catch(error => {
        if (!(error instanceof StoreAway)) onFault(error)
      })
      .finally(() => checking.delete(missed.topic))
  }
}
