import type { Interest } from '../dispatch/cluster/interest.ts'
import type { Hub } from '../hub/hub.ts'
import type { Topic } from '../notification/topic.ts'
import type { Peer } from './peer.ts'

/**
 * Joins channels and calls `then` in the same turn, once messages of all nodes on them reach this node. A peer that
 * has ended by then joins nothing. Returns a promise if the bus must be asked first.
 */
export type JoinChannels = (
  peer: Peer,
  topics: readonly Topic[],
  then: () => void,
) => Promise<void> | undefined

interface JoinChannelsOptions {
  readonly hub: Pick<Hub, 'join'>
  /** Absent without a bus. */
  readonly interest: Interest | undefined
}

export function createJoinChannels({ hub, interest }: JoinChannelsOptions): JoinChannels {
  return (peer, topics, then) => {
    const finish = (): void => {
      if (peer.hasEnded()) {
        interest?.release(topics)
        return
      }
      for (const topic of topics) hub.join(peer, topic)
      then()
    }
    const joined = interest?.join(topics)
    if (joined !== undefined) return joined.then(finish)
    finish()
    return undefined
  }
}
