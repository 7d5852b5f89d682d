import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { API_KEY } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { labelsOf } from '../support/exposition.ts'
import { type Scrape, scrape, scrapeOf } from '../support/metrics.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'
import { getJson, startWorkers, type WorkerService } from '../support/workers.ts'

setDefaultTimeout(60_000)

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

/** Calls over new connections, which spread over the workers. */
async function call(service: WorkerService, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await getJson(service, '/api/v1/channels/none')
}

const CALLS = 'ara_http_requests_total{method="GET",path="/api/v1/channels/{name}",status="404"}'
const SECONDS = 'ara_http_request_latency_seconds_count{method="GET",path="/api/v1/channels/{name}"}'

/** Values of the label `worker` of a metric. */
const workersIn = ({ series }: Scrape, name: string): readonly string[] =>
  series
    .filter(each => each.startsWith(`${name}{`))
    .map(each => labelsOf(each)['worker'] ?? '')
    .sort()

/** Scrapes over one connection after the other until one is answered. */
async function firstScrape(service: WorkerService): Promise<{ readonly seen: Scrape; readonly ms: number }> {
  const abort = new AbortController()
  const attempts = Array.from({ length: 16 }, async () => {
    const elapsed = startStopwatch()
    const response = await fetch(`${service.url}/metrics`, {
      headers: { connection: 'close' },
      signal: abort.signal,
    })
    return { text: await response.text(), ms: elapsed() }
  })
  const { text, ms } = await Promise.any(attempts)
  abort.abort()
  await Promise.allSettled(attempts)
  return { seen: scrapeOf(text), ms }
}

describe('/metrics of any worker', () => {
  test('sums counters, histograms and gauges over all workers, and labels those of processes', async () => {
    await using service = await startWorkers(redis.url, {
      API_KEY: '',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
    })
    const url = `${service.url}/ws?token=${await service.token('u')}`
    const sockets = await Promise.all(Array.from({ length: 12 }, () => connectSocket(url)))
    await call(service, 30)
    for (let n = 0; n < 8; n++) {
      const seen = await scrape(service)
      expect([CALLS, SECONDS, 'ara_connections_total'].map(seen.value)).toEqual([30, 30, 12])
      expect(seen.value('ara_connections_open{transport="ws"}')).toBe(12)
      for (const name of ['ara_worker_up', 'process_open_fds', 'ara_event_loop_lag_seconds'])
        expect([name, workersIn(seen, name)]).toEqual([name, ['1', '2']])
      expect(seen.value('ara_worker_up{worker="1"}') + seen.value('ara_worker_up{worker="2"}')).toBe(2)
      for (const state of ['ara_store_up', 'ara_bus_up', 'ara_redis_connection_status'])
        expect([state, seen.value(state)]).toEqual([state, 1])
      const builds = [...(seen.families.get('ara_build_info')?.samples ?? [])]
      expect(Object.fromEntries(builds.map(([each, one]) => [labelsOf(each)['node'], one]))).toEqual({
        'n-1': 1,
        'n-2': 1,
      })
    }
    for (const socket of sockets) socket.close()
  })

  test('leaves out a worker that does not answer within 500 ms, and comes back to it', async () => {
    await using service = await startWorkers(redis.url)
    const frozen = service.pidOf(2)
    process.kill(frozen, 'SIGSTOP')
    try {
      // Connections to the frozen worker get no answer.
      const { seen, ms } = await firstScrape(service)
      expect(ms).toBeLessThan(1_500)
      expect([seen.value('ara_worker_up{worker="1"}'), seen.value('ara_worker_up{worker="2"}')]).toEqual([
        1, 0,
      ])
      expect(workersIn(seen, 'process_open_fds')).toEqual(['1'])
    } finally {
      process.kill(frozen, 'SIGCONT')
    }
    await eventually(async () => (await scrape(service)).value('ara_worker_up{worker="2"}') === 1)
  })

  test('keeps what an ended worker had counted', async () => {
    await using service = await startWorkers(redis.url, { API_KEY: '', DRAIN_SECONDS: '0' })
    await call(service, 20)
    expect((await scrape(service)).value(CALLS)).toBe(20)
    process.kill(service.pidOf(1), 'SIGKILL')
    await service.untilLines('worker.started', 3)
    expect((await scrape(service)).value(CALLS)).toBe(20)
    await call(service, 10)
    service.signal('SIGHUP')
    await service.untilLines('workers.reloaded', 1)
    const seen = await scrape(service)
    expect([seen.value(CALLS), seen.value(SECONDS)]).toEqual([30, 30])
  })
})

describe('limits of the machine', () => {
  test('WEBSOCKET_MAX_CONNECTIONS is shared, rounded up', async () => {
    await using service = await startWorkers(redis.url, {
      WEBSOCKET_MAX_CONNECTIONS: '5',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
    })
    const url = `${service.url}/ws?token=${await service.token('u')}`
    const sockets = await Promise.all(Array.from({ length: 40 }, () => connectSocket(url)))
    await eventually(async () => (await scrape(service)).value('ara_connections_total') === 6)
    expect((await scrape(service)).value('ara_connections_refused_total{reason="total"}')).toBe(34)
    for (const socket of sockets) socket.close()
  })

  test('rates are shared, rounded up', async () => {
    await using service = await startWorkers(redis.url, {
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
      RATELIMIT_HTTP_BURST_SIZE: '9',
    })
    const seen = new Map<string, number>()
    const began = performance.now()
    for (let n = 0; n < 60; n++) {
      const { status, headers } = await fetch(`${service.url}/stats`, {
        headers: { 'x-api-key': API_KEY, connection: 'close' },
      })
      const key = `${status} of ${headers.get('x-ratelimit-limit')}`
      seen.set(key, (seen.get(key) ?? 0) + 1)
    }
    // Two bursts of five, and one token a second for each worker.
    expect([...seen.keys()].sort()).toEqual(['200 of 1', '429 of 1'])
    const seconds = (performance.now() - began) / 1_000
    expect(seen.get('200 of 1')).toBeWithin(10, 2 * (5 + Math.ceil(seconds)) + 1)
  })
})
