import { expect, test } from 'bun:test'
import { version } from '../../package.json' with { type: 'json' }
import { startCollector } from '../support/collector.ts'
import { startProxy } from '../support/proxy.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { tracedBy, tracesOfProcess } from '../support/traced.ts'

test('a service that stops right after a send still exports its spans', async () => {
  const spans = await tracesOfProcess()
  expect(spans.map(({ name }) => name)).toEqual([
    'store.append',
    'dispatch',
    'HTTP POST /api/v1/notifications/send',
  ])
  for (const { resource } of spans)
    expect(resource).toMatchObject({ 'service.version': version, 'service.instance.id': 'n1' })
})

test('a silent collector does not delay the exit', async () => {
  await using collector = await startCollector()
  await using line = await startProxy(collector.port)
  line.freeze()
  const settings = { ...tracedBy({ endpoint: `http://127.0.0.1:${line.port}` }), DRAIN_SECONDS: '0' }
  await using service = await startService(settings)
  for (let n = 0; n < 200; n++) expect((await service.send('u', n)).status).toBe(200)
  const elapsed = startStopwatch()
  service.signal('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  // Allow DRAIN_SECONDS, 1 s, and the delays of a busy machine.
  expect(elapsed()).toBeLessThan(3_000)
})

test('the SDK of OpenTelemetry is not loaded when traces are off', async () => {
  const load = (env: string) =>
    Bun.spawnSync(
      [
        process.execPath,
        '-e',
        `const { openTracing } = await import('./src/observe/tracing.ts')
        const settings = { otelEnabled: ${env}, otelEndpoint: 'http://127.0.0.1:1', otelServiceName: 's', otelSamplingRatio: 1, nodeId: 'n' }
        await openTracing({ settings, version: '1', clock: { monotonic: () => 0 }, log: {} })
        await import('./src/app.ts')
        console.log(Object.keys(require.cache).filter(path => path.includes('@opentelemetry/sdk-trace')).length > 0)`,
      ],
      { cwd: `${import.meta.dir}/../..` },
    ).stdout.toString()
  expect([load('true'), load('false')]).toEqual(['true\n', 'false\n'])
})
