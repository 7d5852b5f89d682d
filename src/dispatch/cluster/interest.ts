import type { Bus } from '../../bus/bus.ts'
import type { Hub } from '../../hub/hub.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { Topic } from '../../notification/topic.ts'
import type { SharedUsers } from './shared-users.ts'

/** The topics whose messages this node wants: those of its rooms, and those of clients about to enter one. */
export interface Interest {
  /** Resolves once messages on all topics reach this node; a plain value if they do already. */
  join(topics: readonly Topic[]): Awaitable<void>
  /** Leaves the topics without a connection, 2 s later: a client that enters their rooms by then keeps them. */
  release(topics: readonly Topic[]): void
}

interface InterestOptions {
  readonly bus: Pick<Bus, 'join' | 'leave'>
  readonly hub: Pick<Hub, 'members'>
  /** Absent without acknowledgement. */
  readonly sharedUsers?: Pick<SharedUsers, 'opened'> | undefined
}

export function createInterest({ bus, hub, sharedUsers }: InterestOptions): Interest {
  return {
    join: topics => {
      const joining = topics.map(topic => bus.join(topic)).filter(joined => joined instanceof Promise)
      if (joining.length === 0) return sharedUsers?.opened(topics)
      return Promise.all(joining).then(() => sharedUsers?.opened(topics))
    },
    release: topics => {
      for (const topic of topics) if (hub.members(topic).size === 0) bus.leave(topic)
    },
  }
}
