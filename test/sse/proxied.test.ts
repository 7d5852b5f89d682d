import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { startLazyProxy } from '../support/lazy-proxy.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { send, streamOf } from '../support/visit.ts'

test('a page can be reloaded any number of times behind a proxy that does not notice closed streams', async () => {
  await using app = await startTestApp()
  using proxy = startLazyProxy(app.port)
  const url = `http://127.0.0.1:${proxy.port}`
  const query = `?token=${await app.token('u')}`
  for (let n = 0; n < 12; n++) {
    const stream = await connectStream(`${url}/sse${query}`)
    await stream.nextOf('connected')
    stream.close()
    await stream.closed
  }
  const socket = await connectSocket(`${url}/ws${query}`)
  expect((await send(app, 'u', 1)).delivered_to).toBeGreaterThanOrEqual(1)
  expect(await socket.next()).toMatchObject({ payload: 1 })
  socket.close()
}, 20_000)

test('streams with a live client stay open, and one above the limit is rejected', async () => {
  await using app = await startTestApp()
  const streams = await Promise.all(Array.from({ length: 5 }, () => streamOf(app, 'u')))
  await Promise.all(streams.map(stream => stream.nextOf('connected')))
  const elapsed = startStopwatch()
  const over = await fetch(`${app.url}/sse?token=${await app.token('u')}`)
  expect({ status: over.status, retryAfter: over.headers.get('retry-after') }).toEqual({
    status: 429,
    retryAfter: '5',
  })
  await over.body?.cancel()
  expect(elapsed()).toBeLessThan(5_000)
  expect(await send(app, 'u', 1)).toMatchObject({ delivered_to: 5 })
  for (const stream of streams) {
    expect((await stream.next()).data.payload).toBe(1)
    stream.close()
  }
}, 20_000)

test('a client that disconnects while it waits for room leaves no connection behind', async () => {
  await using app = await startTestApp()
  const streams = await Promise.all(Array.from({ length: 5 }, () => streamOf(app, 'u')))
  const abort = new AbortController()
  const waiting = awaitedLater(
    fetch(`${app.url}/sse?token=${await app.token('u')}`, { signal: abort.signal }),
  )
  // The probe is a comment, which the parser returns with the next event.
  await Bun.sleep(100)
  abort.abort()
  await waiting.catch(() => undefined)
  for (const stream of streams) stream.close()
  await Promise.all(streams.map(({ closed }) => closed))
  for (let idle = 0; idle < 3; ) {
    await Bun.sleep(100)
    idle = (await app.get('/health')).json.connections.total === 0 ? idle + 1 : 0
  }
}, 20_000)
