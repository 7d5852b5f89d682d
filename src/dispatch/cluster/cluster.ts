import type { Bus, BusTopic } from '../../bus/bus.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { OnFault } from '../../observe/fault.ts'
import { limited } from '../../observe/limited.ts'
import type { Logger } from '../../observe/log.ts'
import type { Stats } from '../../observe/stats.ts'
import type { NodeIdentity } from '../census.ts'
import { type Calls, createCalls } from './calls.ts'
import { createForeign, createForeignCheck } from './foreign.ts'
import { createMembers, type Member, type Members } from './members.ts'

/** What this node and the others use to work as one. */
export interface Cluster extends Disposable {
  /** Name of this node on the bus. */
  readonly instance: string
  readonly calls: Calls
  readonly members: Pick<Members, 'others'>
}

interface ClusterOptions {
  readonly bus: Bus
  /** Whether this node has a connection in the topic. */
  readonly isJoined: (topic: BusTopic) => boolean
  readonly node: NodeIdentity
  readonly onFault: OnFault
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Pick<Stats, 'busAnswerTimeouts'>
}

const LINES_PER_SECOND = 2

/** Starts to talk to the other nodes. */
export function createCluster({
  bus,
  isJoined,
  node,
  onFault,
  clock,
  logger,
  stats,
}: ClusterOptions): Cluster {
  const foreign = createForeign()
  const sayForeign = limited<{ readonly topic: BusTopic }>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'bus.foreign_subscribers'),
  })

  const calls = createCalls({
    bus,
    onFault,
    foreign,
    onMissing: call => {
      stats.busAnswerTimeouts += call.missing
      if (!members.missed(call.answered)) check(call)
    },
    onHeard: instance => members.heard(instance),
  })
  const members = createMembers({
    node,
    bus,
    calls,
    onEvicted: ({ id }: Member) => logger.warn({ member: id }, 'cluster.node_silent'),
  })
  const check = createForeignCheck({
    calls,
    foreign,
    isJoined,
    others: () => members.others().length,
    onFound: topic => sayForeign({ topic }),
    onFault,
  })

  return {
    instance: bus.instance,
    calls,
    members,
    [Symbol.dispose]: () => {
      members[Symbol.dispose]()
      calls[Symbol.dispose]()
    },
  }
}
