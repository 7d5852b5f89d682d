import { atLeast, type Row, windowOf } from '../row.ts'

const CALLERS = 64
const USERS = 1_000
const PER_SECOND = 'requests/s'
const PER_CPU_SECOND = 'requests per CPU-second'

interface SendOptions {
  readonly name: string
  readonly label: string
  readonly control: string
  readonly log: boolean
  readonly away?: boolean
  readonly ratio: number
}

/** `POST /send` to users in turn by callers who each wait for their answer. */
const sends = ({ name, label, control, log, away = false, ratio }: SendOptions): Row => ({
  name,
  cases: [
    {
      name: label,
      control,
      env: { QUEUE_ENABLED: String(log) },
      goals: { [PER_SECOND]: atLeast(ratio), [PER_CPU_SECOND]: atLeast(ratio) },
      run: async ({ start, load }) => {
        const loaded = await load(await start(), {
          mode: 'flow',
          clients: away ? 0 : USERS,
          users: USERS,
          target: 'user',
          senders: CALLERS,
        })
        const { seconds, cpu, answered, busy } = windowOf(loaded)
        return { [PER_SECOND]: answered / seconds, [PER_CPU_SECOND]: answered / cpu, 'loader busy': busy }
      },
    },
  ],
})

export const send = sends({ name: 'send', label: 'log off', control: 'send', log: false, ratio: 0.65 })
export const sendLog = sends({
  name: 'send-log',
  label: 'memory log, receipts',
  control: 'send',
  log: true,
  ratio: 0.5,
})
export const sendAway = sends({
  name: 'send-away',
  label: 'memory log, users away',
  control: 'away',
  log: true,
  away: true,
  ratio: 0.6,
})
