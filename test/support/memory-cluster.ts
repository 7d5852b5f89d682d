import { createCalls } from '../../src/dispatch/cluster/calls.ts'
import { createClusterCensus } from '../../src/dispatch/cluster/cluster-census.ts'
import { createElsewhere } from '../../src/dispatch/cluster/elsewhere.ts'
import { createLocalCensus } from '../../src/dispatch/local-census.ts'
import { createHub } from '../../src/hub/hub.ts'
import { type Clock, systemClock } from '../../src/lib/time/clock.ts'
import { channelTopic, tenantTopic, userTopic } from '../../src/notification/topic.ts'
import { createTally } from '../../src/observe/tally.ts'
import { createMemoryBusNetwork } from './memory-bus.ts'
import { SilentConnection } from './silent-connection.ts'

export const SINCE = '2026-01-01T00:00:00.000Z'

/** Nodes in this process that count each other's connections: `createMemoryCluster(['a', 'b'])` has two with these ids. */
export function createMemoryCluster(ids: readonly string[], clock: Clock = systemClock) {
  const network = createMemoryBusNetwork()
  const nodes = ids.map((id, n) => {
    const bus = network.connect(`instance-${n}`)
    const hub = createHub<SilentConnection>()
    const tally = createTally()
    const calls = createCalls({
      bus,
      onFault: error => {
        throw error
      },
    })
    const local = createLocalCensus({ hub, tally, node: { id, version: '1.0.0', since: SINCE } })
    const census = createClusterCensus({ local, calls, instance: bus.instance, node: id })
    const countElsewhere = createElsewhere({ local, calls, clock })
    return {
      bus,
      hub,
      tally,
      calls,
      census,
      countElsewhere,
      connect: (user: string, channels: readonly string[] = [], tenant = 't') => {
        const connection = new SilentConnection(user, tenant)
        hub.open(connection)
        void bus.join(userTopic(tenant, user))
        void bus.join(tenantTopic(tenant))
        for (const channel of channels) {
          hub.join(connection, channelTopic(tenant, channel))
          void bus.join(channelTopic(tenant, channel))
        }
        return () => hub.end(connection)
      },
    }
  })
  return {
    network,
    nodes,
    [Symbol.dispose]: () => {
      for (const { calls } of nodes) calls[Symbol.dispose]()
    },
  }
}
