import { describe, expect, test } from 'bun:test'
import { loadConfig } from '../../src/config/config.ts'
import { workersFault } from '../../src/config/workers.ts'
import { acrossOf } from '../../src/observe/across.ts'
import { type JsonMetric, writeMetrics } from '../../src/observe/exposition.ts'
import { METRICS } from '../../src/observe/metrics.ts'
import { createEndedTotals } from '../../src/workers/ended-totals.ts'
import { settingsOfWorker } from '../../src/workers/share.ts'

const BUS = { WORKERS: '3', BUS_URL: 'redis:', NODE_ID: 'n' }

describe('the settings of a worker', () => {
  test('are its share of the limits of the machine, rounded up, and a node id of its own', () => {
    const { config } = loadConfig({
      ...BUS,
      MAX_SOCKETS: '1000',
      WEBSOCKET_MAX_CONNECTIONS: '100',
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '10',
      RATELIMIT_HTTP_BURST_SIZE: '2',
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
    })
    const worker = settingsOfWorker(config, 2, 3)
    expect(worker).toEqual({
      ...config,
      nodeId: 'n-2',
      maxSockets: 334,
      websocketMaxConnections: 34,
      ratelimitHttpRequestsPerSecond: 4,
      ratelimitHttpBurstSize: 1,
      ratelimitWsConnectionsPerMinute: 1,
    })
  })

  test('have no limit where the machine has none', () => {
    const { config } = loadConfig({ ...BUS, WEBSOCKET_MAX_CONNECTIONS: '0' })
    expect(settingsOfWorker(config, 1, 3)).toMatchObject({
      websocketMaxConnections: 0,
      maxSockets: undefined,
    })
  })
})

test('`auto` is at least one process and at most the largest number', () => {
  const { workers } = loadConfig({ ...BUS, WORKERS: 'auto' }).config
  expect(workers).toBeWithin(1, 257)
})

test('several processes need Linux', () => {
  const redis = { kind: 'redis', address: { hosts: [] } } as never
  const needs = { busUrl: redis, storeUrl: redis, logEnabled: true, platform: 'darwin' }
  expect(workersFault({ ...needs, count: 2 })).toBe('1, because several processes share a port on Linux only')
  expect(workersFault({ ...needs, count: 1 })).toBeUndefined()
})

const metric = (name: string, values: JsonMetric['values']): JsonMetric => ({
  name,
  help: 'help',
  type: METRICS[name]?.type ?? 'counter',
  aggregator: acrossOf(name) === 'worker' ? 'sum' : (acrossOf(name) as 'sum' | 'min' | 'max'),
  ofWorker: acrossOf(name) === 'worker',
  values,
})
const plain = (name: string, value: number): JsonMetric => metric(name, [{ labels: {}, value }])

describe('the metrics of several processes', () => {
  const linesOf = async (...snapshots: readonly (readonly JsonMetric[])[]) =>
    (await writeMetrics(snapshots)).split('\n').filter(line => line !== '' && !line.startsWith('#'))

  test('are summed, but for states and for what every process sees whole', async () => {
    const names = [
      'ara_users_connected',
      'ara_queue_size_total',
      'ara_store_up',
      'ara_redis_circuit_breaker_state',
    ]
    const one = names.map(name => plain(name, 1))
    const other = names.map(name => plain(name, 0))
    expect(await linesOf(one, one)).toEqual([
      'ara_users_connected 2',
      'ara_queue_size_total 1',
      'ara_redis_circuit_breaker_state 1',
      'ara_store_up 1',
    ])
    expect(await linesOf(other, one)).toEqual([
      'ara_users_connected 1',
      'ara_queue_size_total 1',
      'ara_redis_circuit_breaker_state 1',
      'ara_store_up 0',
    ])
  })

  test('leave out names that this version does not know', async () => {
    expect(await linesOf([plain('ara_draining', 1)], [plain('ara_of_tomorrow', 1)])).toEqual([
      'ara_draining 1',
    ])
  })

  test('keep the counters of ended processes, by series, and neither gauges nor series of the process', () => {
    const totals = createEndedTotals()
    const closes = (code: string, value: number) => ({ labels: { code }, value })
    for (let n = 1; n <= 2; n++)
      totals.add([
        metric('ara_connection_closes_total', [closes('1000', n), closes('1012', 10 * n)]),
        plain('ara_users_connected', 5),
        plain('process_cpu_seconds_total', 5),
      ])
    totals.add([metric('ara_connection_closes_total', [closes('4401', 7)])])
    expect(totals.snapshot).toEqual([
      metric('ara_connection_closes_total', [closes('1000', 3), closes('1012', 30), closes('4401', 7)]),
    ])
  })
})
