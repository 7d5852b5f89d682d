import { atLeast, atMost, type Case, plainCase, type Row, windowOf } from '../row.ts'
import { CPU, DELIVERIES_PER_SECOND, PACED_SENDERS, PER_CPU_SECOND, PUBLISHERS } from './fan-out.ts'

const broadcast = { mode: 'flow', transport: 'sse', target: 'broadcast' } as const

const pacedTo = (clients: number): Case =>
  plainCase({
    name: `to ${clients.toLocaleString('en')}`,
    control: 'sse',
    goals: { [CPU]: atMost(1.15) },
    load: { ...broadcast, clients, senders: PACED_SENDERS, rate: DELIVERIES_PER_SECOND / clients },
    figures: loaded => {
      const { cpu, received, p50, p99 } = windowOf(loaded)
      return { [CPU]: (cpu * 1e6) / received, 'p50 ms': p50, 'p99 ms': p99 }
    },
  })

const saturated: Case = plainCase({
  name: 'saturated, to 1,000',
  control: 'sse',
  goals: { [PER_CPU_SECOND]: atLeast(0.8) },
  load: { ...broadcast, clients: 1_000, senders: PUBLISHERS },
  figures: loaded => {
    const { cpu, received } = windowOf(loaded)
    return { [PER_CPU_SECOND]: received / cpu }
  },
})

/** Uses broadcasts, since streams cannot subscribe. */
export const sse: Row = { name: 'sse', cases: [pacedTo(1_000), pacedTo(5_000), saturated] }
