import { atMost, type Row, windowOf } from '../row.ts'
import { PACED_SENDERS } from './fan-out.ts'

const CLIENTS = 1_000
const IDLE = 10_000
const PUBLISHES_PER_SECOND = 20
/** Reconnects all clients within five seconds; a drain spreads them over ten. */
const RECONNECTS_PER_SECOND = 2_000
const STUCK = 'one is stuck / undisturbed'
const STORM = '10,000 reconnect / undisturbed'

/** Effect on others: a client with 3 MB/s stops reading; all idle clients reconnect. */
export const disturbed: Row = {
  name: 'disturbed',
  cases: [
    {
      name: 'p99 of 1,000 others',
      control: 'fan-out',
      goals: { [STUCK]: atMost(1.5, 'ours'), [STORM]: atMost(1.5, 'ours') },
      run: async ({ start, load }) => {
        const loaded = await load(await start(), {
          mode: 'flow',
          clients: CLIENTS,
          channel: 'bench',
          target: 'channel',
          senders: PACED_SENDERS,
          rate: PUBLISHES_PER_SECOND,
          idle: IDLE,
          storm: RECONNECTS_PER_SECOND,
        })
        const { p99: undisturbed } = windowOf(loaded)
        const [stuck, storm] = ['stuck', 'storm'].map(name => windowOf(loaded, name).p99)
        return {
          'undisturbed ms': undisturbed,
          [STUCK]: (stuck ?? Number.NaN) / undisturbed,
          [STORM]: (storm ?? Number.NaN) / undisturbed,
        }
      },
    },
  ],
}
