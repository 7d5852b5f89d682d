import { median } from '../report.ts'
import { atMost, type Row, windowOf } from '../row.ts'
import { API_KEY, type ServerProcess } from '../server.ts'

const SCRAPED = 'stall ms, scraped'
const QUIET = 'stall ms, not scraped'
/** Duration of each phase, with and without scrapes in turn. */
const SPAN_MS = 400
const PAUSE_MS = 30
/** First report of the meter (every 0.1 s), which may cover time before the phase. */
const TOLD_EVERY_MS = 100

const isScraped = (at: number): boolean => Math.floor(at / SPAN_MS) % 2 === 0

async function scrape(server: ServerProcess, stopped: AbortSignal): Promise<void> {
  while (!stopped.aborted) {
    if (isScraped(Date.now()))
      await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers: { 'x-api-key': API_KEY } }).then(
        answer => answer.text(),
      )
    await Bun.sleep(PAUSE_MS)
  }
}

export const scrapes: Row = {
  name: 'scrape',
  cases: [
    {
      name: '10,000 WebSockets, memory log',
      control: 'send',
      env: { QUEUE_ENABLED: 'true', METRICS_CHANNEL_LIMIT: '100' },
      goals: { [SCRAPED]: atMost(5, 'ours') },
      run: async ({ start, load }) => {
        const server = await start({ metered: true })
        const stopped = new AbortController()
        const loading = load(server, {
          mode: 'flow',
          clients: 10_000,
          target: 'user',
          senders: 1,
          rate: 10,
        }).finally(() => stopped.abort())
        const [loaded] = await Promise.all([loading, scrape(server, stopped.signal)])
        const { from, to } = windowOf(loaded)
        const told = server.stalls.filter(
          ({ at }) => at > from + TOLD_EVERY_MS && at <= to && at % SPAN_MS > TOLD_EVERY_MS,
        )
        // Do not use the maximum: with many connections it is a garbage collection.
        const usual = (scraped: boolean) =>
          median(told.filter(({ at }) => isScraped(at) === scraped).map(({ stallMs }) => stallMs))
        return { [SCRAPED]: usual(true), [QUIET]: usual(false) }
      },
    },
  ],
}
