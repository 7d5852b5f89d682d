import { ALL_NODES, nodeTopic } from '../../bus/bus.ts'
import { StoreAway } from '../../errors.ts'
import { inTurns } from '../../lib/flow/in-turns.ts'
import { kindOf, type Topic } from '../../notification/topic.ts'
import type { OnFault } from '../../observe/fault.ts'
import { acknowledgeOn } from './ack-elsewhere.ts'
import type { Calls } from './calls.ts'
import type { Members } from './members.ts'

/**
 * The users with connections on several nodes. One of these nodes counts the acknowledgements of each, so that statistics
 * count a crowd notification once per user, as on one node.
 */
export interface SharedUsers {
  /** Call with joined topics: asks the other nodes about users who are new here. */
  opened(topics: readonly Topic[]): Promise<void> | undefined
  /** The last connection of the topic on this node has ended. */
  closed(topic: Topic): void
  /** Instance of the other node that counts for this user; undefined if this node does. */
  counterOf(owner: Topic): string | undefined
  /** Tells the node that counts which of its users this node reached: it may have reached none of their clients. */
  reached(counter: string, id: string, owners: readonly Topic[]): void
  /** Tells the node that counts about an acknowledgement. Lost while the bus is away. */
  acked(counter: string, id: string, owner: Topic): void
  /** Sets the receiver of users whom other nodes reached, and for whom this node counts. */
  listen(receive: (id: string, owners: readonly Topic[]) => void): void
  /** Asks about all users again: messages were lost while the bus was away. */
  again(): void
}

interface SharedUsersOptions {
  readonly calls: Pick<Calls, 'on' | 'ask' | 'tell'>
  readonly instance: string
  readonly members: Pick<Members, 'others'>
  readonly hasConnection: (owner: Topic) => boolean
  readonly onFault: OnFault
}

/** A notification and users who received it. */
interface Reached {
  readonly id: string
  readonly owners: readonly Topic[]
}

const OPENED = 'opened'
const CLOSED = 'closed'
const REACHED = 'reached'
/** The sender's users are unknown: it asks about each again. */
const RESTARTED = 'restarted'
/** Nodes of one user; beyond it those that have ended are forgotten. A killed node does not say that it ends. */
const MAX_NODES = 16
/** Questions per turn of the event loop, after an outage. */
const PORTION = 100

export function createSharedUsers({
  calls,
  instance,
  members,
  hasConnection,
  onFault,
}: SharedUsersOptions): SharedUsers {
  const here = new Set<Topic>()
  /** Other nodes with connections of users of this node. */
  const elsewhere = new Map<Topic, Set<string>>()

  const note = (owner: Topic, node: string): void => {
    const nodes = elsewhere.get(owner)
    if (nodes === undefined) {
      elsewhere.set(owner, new Set([node]))
      return
    }
    if (nodes.size >= MAX_NODES) {
      const running = new Set(members.others().map(({ instance }) => instance))
      for (const each of nodes) if (!running.has(each)) nodes.delete(each)
    }
    nodes.add(node)
  }

  const forget = (owner: Topic, node: string): void => {
    const nodes = elsewhere.get(owner)
    if (nodes?.delete(node) && nodes.size === 0) elsewhere.delete(owner)
  }

  const failed = (error: unknown): void => {
    if (!(error instanceof StoreAway)) onFault(error)
  }

  const tell = (topic: Parameters<Calls['tell']>[0], kind: string, text: string): void => {
    calls.tell(topic, kind, text).catch(failed)
  }

  const ask = async (owner: Topic): Promise<void> => {
    try {
      const { texts } = await calls.ask(owner, OPENED, '')
      if (here.has(owner)) for (const node of texts) if (node !== '') note(owner, node)
    } catch (error) {
      failed(error)
    }
  }

  calls.on(OPENED, (_, topic, node) => {
    if (!here.has(topic as Topic)) return ''
    note(topic as Topic, node)
    return instance
  })
  calls.on(CLOSED, (_, topic, node) => {
    forget(topic as Topic, node)
    return ''
  })
  calls.on(RESTARTED, (_, __, node) => {
    for (const owner of elsewhere.keys()) forget(owner, node)
    return ''
  })

  return {
    opened: topics => {
      const owner = topics.find(topic => kindOf(topic) === 'user')
      if (owner === undefined || here.has(owner) || !hasConnection(owner)) return undefined
      here.add(owner)
      return ask(owner)
    },
    closed: topic => {
      if (!here.delete(topic)) return
      elsewhere.delete(topic)
      tell(topic, CLOSED, '')
    },
    counterOf: owner => {
      const nodes = elsewhere.get(owner)
      if (nodes === undefined) return undefined
      let counter = instance
      for (const other of members.others())
        if (other.instance < counter && nodes.has(other.instance)) counter = other.instance
      return counter === instance ? undefined : counter
    },
    reached: (counter, id, owners) => tell(nodeTopic(counter), REACHED, JSON.stringify({ id, owners })),
    acked: (counter, id, owner) => {
      const { kind, text } = acknowledgeOn(owner, [id])
      tell(nodeTopic(counter), kind, text)
    },
    listen: receive =>
      calls.on(REACHED, text => {
        const { id, owners } = JSON.parse(text) as Reached
        receive(id, owners)
        return ''
      }),
    again: () => {
      elsewhere.clear()
      tell(ALL_NODES, RESTARTED, '')
      inTurns(here, owner => void ask(owner), PORTION).catch(onFault)
    },
  }
}
