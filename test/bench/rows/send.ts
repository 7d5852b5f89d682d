import type { LoadOptions } from '../load.ts'
import { atLeast, plainCase, type Row, windowOf } from '../row.ts'

const CALLERS = 64
const USERS = 1_000
const PER_SECOND = 'requests/s'
const PER_CPU_SECOND = 'requests per CPU-second'

interface SendOptions {
  readonly name: string
  readonly label: string
  readonly control: string
  readonly log?: boolean
  readonly away?: boolean
  readonly acks?: boolean
  readonly env?: Readonly<Record<string, string>>
  /** Target relative to the control; absent if the row only shows a cost. */
  readonly ratio?: number
}

/** `POST /send` to users in turn; each caller waits for its answer. */
export const sendLoad = ({ away = false, acks = false } = {}): LoadOptions => ({
  mode: 'flow',
  clients: away ? 0 : USERS,
  users: USERS,
  target: 'user',
  senders: CALLERS,
  acks: Number(acks),
})

const sends = ({
  name,
  label,
  control,
  log = false,
  away = false,
  acks = false,
  env = {},
  ratio,
}: SendOptions): Row => ({
  name,
  cases: [
    plainCase({
      name: label,
      control,
      env: { QUEUE_ENABLED: String(log), ...env },
      goals: ratio === undefined ? {} : { [PER_SECOND]: atLeast(ratio), [PER_CPU_SECOND]: atLeast(ratio) },
      load: sendLoad({ away, acks }),
      figures: loaded => {
        const { seconds, cpu, answered, busy } = windowOf(loaded)
        return { [PER_SECOND]: answered / seconds, [PER_CPU_SECOND]: answered / cpu, 'loader busy': busy }
      },
    }),
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

const RATE = '1000000000'
/** Limit too high to reject: measures the cost of counting. */
const LIMITED = {
  RATELIMIT_ENABLED: 'true',
  RATELIMIT_HTTP_REQUESTS_PER_SECOND: RATE,
  RATELIMIT_HTTP_BURST_SIZE: RATE,
  RATELIMIT_WS_CONNECTIONS_PER_MINUTE: RATE,
}
export const sendAcks = sends({
  name: 'send-ack',
  label: 'memory log, receipts, each acknowledged',
  control: 'send',
  log: true,
  acks: true,
  env: { ACK_ENABLED: 'true' },
  ratio: 0.45,
})
export const sendLimited = sends({
  name: 'send-limited',
  label: 'log off, rate limits',
  control: 'send',
  env: LIMITED,
})
export const sendTenants = sends({
  name: 'send-tenants',
  label: 'log off, tenants',
  control: 'send',
  env: { TENANT_ENABLED: 'true', TENANT_DEFAULT_MAX_CONNECTIONS: '0' },
})
