import { atMost, type Row, windowOf } from '../row.ts'
import { PACED_SENDERS } from './fan-out.ts'

const CLIENTS = 1_000
const IDLE = 10_000
const PUBLISHES_PER_SECOND = 20
/** A drain sends everybody away over ten seconds; here they all come back within five. */
const RECONNECTS_PER_SECOND = 2_000
const STUCK = 'one is stuck / undisturbed'
const STORM = '10,000 reconnect / undisturbed'

/** What others notice: a client that takes 3 MB a second stops reading; all who are idle come back. */
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
