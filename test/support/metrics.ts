import type { TestApp } from './app.ts'
import { type Family, readExposition } from './exposition.ts'

export interface Scrape {
  readonly families: ReadonlyMap<string, Family>
  /** Reads a series by name and labels: `ara_messages_sent_total{target="user"}`. Throws if unknown. */
  value(series: string): number
  /** Lists names and labels of all series. */
  readonly series: readonly string[]
}

export async function scrape({ url }: Pick<TestApp, 'url'>): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}: ${text}`)
  return scrapeOf(text)
}

/** Reads the text of `/metrics`. */
export function scrapeOf(text: string): Scrape {
  const families = readExposition(text)
  const all = new Map([...families.values()].flatMap(({ samples }) => [...samples]))
  return {
    families,
    value: series => {
      const value = all.get(series)
      if (value === undefined) throw new Error(`no series ${series}`)
      return value
    },
    series: [...all.keys()],
  }
}

/** Metrics that change by themselves, by a scrape or by the length of texts. */
const RESTLESS = /^(process_|ara_event_loop_lag|ara_store_bytes|ara_http_.*path="\/(metrics|health)")/
/** Keeps only the count of a histogram: tests do not check durations. */
const DETAIL = /_seconds_sum|_latency_seconds_sum|_bucket/

/** Runs an action and returns the changes of all series. */
export async function changesBy(app: TestApp, act: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape(app)
  await act()
  return changesSince(before, await scrape(app))
}

/** Counts a new series from 0. */
export function changesSince(before: Scrape, after: Scrape): Record<string, number> {
  const known = new Set(before.series)
  return Object.fromEntries(
    after.series
      .filter(series => !RESTLESS.test(series) && !DETAIL.test(series))
      .map(series => [series, after.value(series) - (known.has(series) ? before.value(series) : 0)] as const)
      .filter(([, change]) => change !== 0),
  )
}
