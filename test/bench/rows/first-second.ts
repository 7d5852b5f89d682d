import { type Case, plainCase, type Row, windowOf } from '../row.ts'
import { sendLoad } from './send.ts'

const REQUESTS = 'requests/s'
const CPU = 'CPU µs per request'
/** The load begins at once and ends after one second. */
const FIRST_SECOND = { warm: 0, measure: 1 }

const soon = (name: string, control: string, isLogged: boolean, away: boolean): Case =>
  plainCase({
    name,
    control,
    env: { QUEUE_ENABLED: String(isLogged) },
    goals: {},
    load: { ...sendLoad({ away }), ...FIRST_SECOND },
    figures: loaded => {
      const { seconds, cpu, answered, p99 } = windowOf(loaded)
      const sends = { [REQUESTS]: answered / seconds, [CPU]: (cpu * 1e6) / answered }
      return away ? sends : { ...sends, 'p99 ms': p99 }
    },
  })

/** Sends to a process that has just started. The connects before them are not measured. */
export const firstSecond: Row = {
  name: 'first-second',
  cases: [
    soon('log off', 'send', false, false),
    soon('memory log, receipts', 'send', true, false),
    soon('memory log, users away', 'away', true, true),
  ],
}
