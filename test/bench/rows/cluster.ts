import { startNodes } from '../nodes.ts'
import { atLeast, atMost, type Case, type Row, type Side, windowOf } from '../row.ts'
import { PACED_SENDERS, PER_CPU_SECOND, PUBLISHERS } from './fan-out.ts'

const CALLERS = 64
const USERS = 1_000
const PER_SEND = 'CPU µs per send, Redis included'

/** Two nodes beside one without a bus. */
const nodesOf = (side: Side): number => (side === 'ours' ? 2 : 1)

/** Sends to connected users. With two nodes every second one goes to a user of the other node. */
export const clusterSend: Row = {
  name: 'cluster-send',
  cases: [
    {
      name: '2 nodes beside 1, Redis store',
      goals: { [PER_SEND]: atMost(2) },
      run: async bench => {
        await using nodes = await startNodes(bench, nodesOf(bench.side))
        const loaded = await bench.load(nodes, {
          mode: 'flow',
          clients: USERS,
          target: 'user',
          senders: CALLERS,
        })
        const { seconds, cpu, cpus, answered, busy } = windowOf(loaded)
        return {
          [PER_SEND]: (cpu * 1e6) / answered,
          'of which Redis': ((cpus.at(-1) ?? Number.NaN) * 1e6) / answered,
          'requests/s': answered / seconds,
          'loader busy': busy,
        }
      },
    },
  ],
}

const SUBSCRIBERS_PER_NODE = 1_000
/** For each node, so that its core can serve both. */
const DELIVERIES_PER_SECOND = 20_000

/** Publishes to one channel, with as many subscribers and publishers for each node. */
const fanOut = (name: string, isPaced: boolean): Case => ({
  name,
  goals: { [PER_CPU_SECOND]: atLeast(0.85) },
  run: async bench => {
    const count = nodesOf(bench.side)
    await using nodes = await startNodes(bench, count, { QUEUE_ENABLED: 'false', STORE_URL: 'memory:' })
    const loaded = await bench.load(nodes, {
      mode: 'flow',
      clients: SUBSCRIBERS_PER_NODE * count,
      channel: 'bench',
      target: 'channel',
      senders: isPaced ? PACED_SENDERS : PUBLISHERS * count,
      ...(isPaced && { rate: DELIVERIES_PER_SECOND / SUBSCRIBERS_PER_NODE }),
    })
    const { seconds, cpu, received, busy } = windowOf(loaded)
    return { [PER_CPU_SECOND]: received / cpu, 'deliveries/s': received / seconds, 'loader busy': busy }
  },
})

/** Nodes and Redis share the CPU-seconds, so the ratio is that of one node beside one alone. */
export const clusterFanOut: Row = {
  name: 'cluster-fanout',
  cases: [fanOut('1,000 a node, 20 publishes a second', true), fanOut('1,000 a node, saturated', false)],
}
