import type { LoadOptions } from '../load.ts'
import { atLeast, atMost, type Case, plainCase, type Row, windowOf } from '../row.ts'

const CONNECTS = 5_000
const HELD = 10_000
const PER_SECOND = 'connects/s'
const PER_CPU_SECOND = 'connects per CPU-second'

export const connectLoad: LoadOptions = { mode: 'visit', clients: CONNECTS, target: 'broadcast', check: 1 }

export const connect: Row = {
  name: 'connect',
  cases: [
    plainCase({
      name: '5,000, a token each',
      control: 'send',
      goals: { [PER_SECOND]: atLeast(0.45), [PER_CPU_SECOND]: atLeast(0.45) },
      load: connectLoad,
      figures: loaded => {
        const { seconds, cpu, connected, busy } = windowOf(loaded)
        return {
          [PER_SECOND]: connected / seconds,
          [PER_CPU_SECOND]: connected / cpu,
          'loader busy': busy,
        }
      },
    }),
  ],
}

const heldBy = (transport: 'ws' | 'sse', name: string, control: string): Case => ({
  name,
  control,
  goals: { 'KiB per connection': atMost(1.5) },
  run: async ({ start, load }) => {
    const loaded = await load(await start(), { mode: 'hold', transport, clients: HELD })
    const { added = Number.NaN, added_kib = Number.NaN } = loaded
    return { 'KiB per connection': added_kib / added }
  },
})

export const memory: Row = {
  name: 'memory',
  cases: [heldBy('ws', '10,000 WebSockets', 'send'), heldBy('sse', '10,000 streams', 'sse')],
}
