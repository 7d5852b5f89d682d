import { cursorClient, recoveringClient } from '../clients.ts'
import { type BenchNodes, startNodes, startOthers } from '../nodes.ts'
import { atLeast, atMost, type Bench, type Case, type Row, windowOf } from '../row.ts'
import { installSocketIo } from '../socket-io.ts'
import { survive } from '../survival.ts'
import { PACED_SENDERS, PER_CPU_SECOND, PUBLISHERS } from './fan-out.ts'

const NODES = 2
const SUBSCRIBERS = 1_000
const DELIVERIES_PER_SECOND = 20_000

const fanOut = (name: string, isPaced: boolean): Case => ({
  name,
  goals: { [PER_CPU_SECOND]: atLeast(1) },
  run: async bench => {
    const isOurs = bench.side === 'ours'
    await using socketIo = isOurs ? undefined : await installSocketIo()
    await using nodes =
      socketIo === undefined
        ? await startNodes(bench, NODES, { QUEUE_ENABLED: 'false', STORE_URL: 'memory:' })
        : await startOthers(bench, NODES, socketIo.command)
    const loaded = await bench.load(nodes, {
      mode: 'flow',
      transport: isOurs ? 'ws' : 'socket.io',
      clients: SUBSCRIBERS,
      channel: 'bench',
      target: 'channel',
      senders: isPaced ? PACED_SENDERS : PUBLISHERS,
      ...(isPaced && { rate: DELIVERIES_PER_SECOND / SUBSCRIBERS }),
    })
    const { cpu, received, p50, p99 } = windowOf(loaded)
    return { [PER_CPU_SECOND]: received / cpu, 'p50 ms': p50, 'p99 ms': p99 }
  },
})

const LOST = 'lost of 10,000 accepted'

async function survivors(bench: Bench, nodes: BenchNodes, createClient: typeof cursorClient) {
  const { lost, repeated, accepted } = await survive(nodes, createClient, bench.times)
  return { [LOST]: (lost * 10_000) / accepted, repeated, accepted }
}

/** Sends to users on two nodes, of which one is killed. Each side resumes as it promises best. */
const killed: Case = {
  name: 'kill -9 of one node under 400 sends a second',
  goals: { [LOST]: atMost(0, 'ours') },
  run: async bench => {
    if (bench.side === 'ours') {
      await using nodes = await startNodes(bench, NODES)
      return await survivors(bench, nodes, cursorClient)
    }
    await using socketIo = await installSocketIo()
    await using nodes = await startOthers(bench, NODES, socketIo.command, { RECOVERY: 'true' })
    return await survivors(bench, nodes, recoveringClient)
  },
}

/** Beside Socket.IO 4 with its Redis Streams adapter; nodes and Redis share the CPU-seconds. */
export const socketIo: Row = {
  name: 'socketio',
  cases: [
    fanOut('1,000 on 2 nodes, 20 publishes a second', true),
    fanOut('1,000 on 2 nodes, saturated', false),
    killed,
  ],
}
