import { atMost, type Row, windowOf } from '../row.ts'

const STALL = 'longest stall ms'
const RATE = 4
/** First report of the meter (every 0.1 s), which may cover time before the window. */
const TOLD_EVERY_MS = 100

export const broadcast: Row = {
  name: 'broadcast',
  cases: [
    {
      name: 'to 10,000',
      control: 'fan-out',
      goals: { [STALL]: atMost(25, 'ours') },
      run: async ({ start, load }) => {
        const server = await start({ metered: true })
        const loaded = await load(server, {
          mode: 'flow',
          clients: 10_000,
          target: 'broadcast',
          senders: 2,
          rate: RATE,
        })
        const { from, to } = windowOf(loaded)
        const told = server.stalls.filter(({ at }) => at > from + TOLD_EVERY_MS && at <= to)
        if (told.length === 0) throw new Error('the meter told nothing')
        return { [STALL]: Math.max(...told.map(({ stallMs }) => stallMs)) }
      },
    },
  ],
}
