import { expect, setDefaultTimeout, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { startCollector } from '../support/collector.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy } from '../support/proxy.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { tracedBy } from '../support/traced.ts'
import { eventually, send } from '../support/visit.ts'

setDefaultTimeout(30_000)

/** Pause of the exporter after a failure, seconds. */
const PAUSE = 5
/** Delay of a slow network in each direction. */
const DELAY_MS = 50

const about = ({ lines }: TestApp) =>
  lines.filter(({ event }) => String(event).startsWith('traces.')).map(({ event }) => event)

const sendMany = async (app: TestApp, count: number): Promise<void> => {
  for (let n = 0; n < count; n++) await send(app, `u${n % 100}`, n)
}

test('without a collector every send is answered, the exporter retries sometimes, and one line reports it', async () => {
  const clock = createTestClock()
  await using nobody = await startProxy(await freePort())
  await using app = await startTestApp(
    { ...tracedBy({ endpoint: `http://127.0.0.1:${nobody.port}` }), QUEUE_ENABLED: 'true' },
    { clock },
  )
  for (let round = 1; round <= 3; round++) {
    await sendMany(app, 300)
    await eventually(() => about(app).length > 0)
    await sendMany(app, 300)
    expect(about(app)).toEqual(['traces.unavailable'])
    clock.jump(PAUSE)
  }
  // 3,600 spans make at least 8 batches; the exporter itself retries after 1 s, then less often.
  expect(nobody.accepted).toBeWithin(1, 8)
})

test('with a silent collector every send is answered, waiting spans are bounded, and the exit does not wait', async () => {
  await using collector = await startCollector()
  await using line = await startProxy(collector.port)
  line.freeze()
  const app = await startTestApp({
    ...tracedBy({ endpoint: `http://127.0.0.1:${line.port}` }),
    QUEUE_ENABLED: 'true',
  })
  await sendMany(app, 1_000)
  expect(collector.spans.all).toEqual([])
  expect(about(app)).toEqual([])
  line.thaw()
  await eventually(() => collector.spans.all.length > 0)
  await app[Symbol.asyncDispose]()
  const sent = collector.spans.all.length
  // Only waiting spans and the current batch arrive, of 3,000 ended ones.
  expect(sent).toBeWithin(1, 2_048 + 512 + 1)

  line.freeze()
  const second = await startTestApp(tracedBy({ endpoint: `http://127.0.0.1:${line.port}` }))
  await sendMany(second, 10)
  const elapsed = startStopwatch()
  await second[Symbol.asyncDispose]()
  expect(elapsed()).toBeLessThan(3_000)
})

test('the recovery of a collector is logged, and it receives the spans that end from then on', async () => {
  const clock = createTestClock()
  const port = await freePort()
  const app = await startTestApp(tracedBy({ endpoint: `http://127.0.0.1:${port}` }), { clock })
  await sendMany(app, 300)
  await eventually(() => about(app).length > 0)
  await using collector = await startCollector(port)
  // The exporter retries less often during a long outage.
  await eventually(async () => {
    clock.jump(PAUSE)
    await send(app, 'u', 1)
    return about(app).length > 1
  })
  const { notification_id } = await send(app, 'u', 1)
  await app[Symbol.asyncDispose]()
  expect(about(app)).toEqual(['traces.unavailable', 'traces.exported'])
  expect(collector.spans.all.map(({ attributes }) => attributes['ara.notification_id'])).toContain(
    notification_id,
  )
})

test('a collector that restarts between two batches loses no span', async () => {
  const first = await startCollector()
  const app = await startTestApp(tracedBy(first))
  await send(app, 'u', 1)
  await eventually(() => first.spans.all.length === 2)
  await first[Symbol.asyncDispose]()
  await using second = await startCollector(first.port)
  await send(app, 'u', 2)
  await app[Symbol.asyncDispose]()
  expect([second.spans.all.length, about(app)]).toEqual([2, []])
})

test('waiting spans are exported at the end, even to a slow collector', async () => {
  await using collector = await startCollector()
  await using line = await startProxy(collector.port)
  line.delay(DELAY_MS)
  const app = await startTestApp({
    ...tracedBy({ endpoint: `http://127.0.0.1:${line.port}` }),
    DRAIN_SECONDS: '0',
  })
  await send(app, 'u', 1)
  const began = performance.now()
  await app.app.drain()
  // It waited for the collector. On a busy machine the answer may be later than the limit of this wait.
  expect(performance.now() - began).toBeGreaterThanOrEqual(DELAY_MS)
  await eventually(() => collector.spans.all.length === 2)
  expect(collector.spans.all.map(({ name }) => name)).toEqual([
    'dispatch',
    'HTTP POST /api/v1/notifications/send',
  ])
})
