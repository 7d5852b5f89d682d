import type { TestApp } from './app.ts'
import { type Family, readExposition } from './exposition.ts'

export interface Scrape {
  readonly families: ReadonlyMap<string, Family>
  /** By name and labels: `ara_messages_sent_total{target="user"}`. Throws when there is no such series. */
  value(series: string): number
  /** Names and labels of all. */
  readonly series: readonly string[]
}

export async function scrape({ url }: Pick<TestApp, 'url'>): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}: ${text}`)
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

/** Changes of their own accord, or by being looked at; or by how long texts are. */
const RESTLESS = /^(process_|ara_event_loop_lag|ara_store_bytes|ara_http_.*path="\/(metrics|health)")/
/** Of a histogram its count says it all: how long something took is no matter of a test. */
const DETAIL = /_seconds_sum|_latency_seconds_sum|_bucket/

/** What an action changes, by how much: of everything there is. */
export async function changesBy(app: TestApp, act: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape(app)
  await act()
  return changesSince(before, await scrape(app))
}

/** A series that was not there before counts from 0. */
export function changesSince(before: Scrape, after: Scrape): Record<string, number> {
  const known = new Set(before.series)
  return Object.fromEntries(
    after.series
      .filter(series => !RESTLESS.test(series) && !DETAIL.test(series))
      .map(series => [series, after.value(series) - (known.has(series) ? before.value(series) : 0)] as const)
      .filter(([, change]) => change !== 0),
  )
}
