import type { Bus, BusTopic } from '../../bus/bus.ts'
import type { Config } from '../../config/config.ts'
import type { Hub } from '../../hub/hub.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Topic } from '../../notification/topic.ts'
import type { OnFault } from '../../observe/fault.ts'
import { limited } from '../../observe/limited.ts'
import type { Logger } from '../../observe/log.ts'
import type { Stats } from '../../observe/stats.ts'
import type { PushSource } from '../../store/push.ts'
import type { NodeIdentity } from '../census.ts'
import { createAttendance } from './attendance.ts'
import { type Attendance, type Calls, createCalls } from './calls.ts'
import { createForeign, createForeignCheck } from './foreign.ts'
import { createInterest, type Interest } from './interest.ts'
import { createMembers, type Member, type Members } from './members.ts'
import { createPushSource } from './pushes.ts'
import { createSharedUsers, type SharedUsers } from './shared-users.ts'

/** Parts with which this node and the others work as one. */
export interface Cluster extends Disposable {
  /** Name of this node on the bus. */
  readonly instance: string
  readonly calls: Calls
  readonly members: Pick<Members, 'others'>
  readonly interest: Interest
  /** Absent without acknowledgement. */
  readonly sharedUsers: SharedUsers | undefined
  /** For the store. */
  readonly pushSource: PushSource
  /** Whether this node reaches the others. */
  isUp(): boolean
}

interface ClusterOptions {
  readonly bus: Bus
  /** Database of the Redis bus, which names its channels. */
  readonly db: number
  readonly hub: Pick<Hub, 'members'>
  readonly ackEnabled?: boolean
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
  db,
  hub,
  ackEnabled = false,
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

  const isJoined = (topic: BusTopic): boolean => hub.members(topic as Topic).size > 0

  const calls: Calls = createCalls({
    bus,
    onFault,
    foreign,
    attendance: {
      silent: () => attendance.silent(),
      awaited: topic => attendance.awaited(topic),
    },
    onMissing: call => {
      stats.busAnswerTimeouts += call.missing
      if (!members.missed(call.answered)) check(call)
    },
    onMessage: instance => members.noteMessage(instance),
  })
  const members = createMembers({
    node,
    bus,
    calls,
    onSilent: ({ id }: Member) => logger.warn({ member: id }, 'cluster.node_silent'),
  })
  const attendance: Attendance = createAttendance({ calls, instance: bus.instance, members, isJoined })
  const check = createForeignCheck({
    calls,
    foreign,
    isJoined,
    others: () => members.others().length,
    onFound: topic => sayForeign({ topic }),
    onFault,
  })

  const { instance } = bus
  const hasConnection = isJoined
  const sharedUsers = ackEnabled
    ? createSharedUsers({ calls, instance, members, hasConnection, onFault })
    : undefined

  return {
    instance,
    calls,
    members,
    interest: createInterest({ bus, hub, sharedUsers }),
    sharedUsers,
    pushSource: createPushSource(calls, db),
    isUp: () => bus.isUp(),
    [Symbol.dispose]: () => {
      members[Symbol.dispose]()
      calls[Symbol.dispose]()
    },
  }
}

/** The cluster of the settings; undefined without a bus. */
export const openCluster = ({
  settings: { busUrl, ackEnabled },
  ...options
}: Omit<ClusterOptions, 'db' | 'ackEnabled'> & {
  readonly settings: Pick<Config, 'busUrl' | 'ackEnabled'>
}): Cluster | undefined =>
  busUrl.kind === 'none' ? undefined : createCluster({ ...options, ackEnabled, db: busUrl.address.db })
