import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { startNginx } from '../support/nginx.ts'
import { startService } from '../support/service.ts'
import { send } from '../support/visit.ts'

const TEST_MS = 60_000

test(
  'nginx as documented passes WebSockets, streams, bodies of 2 MB and addresses of clients',
  async () => {
    await using app = await startTestApp({
      QUEUE_ENABLED: 'true',
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '3',
      TRUSTED_PROXIES: '127.0.0.1',
    })
    await using proxy = await startNginx([app.port])
    const token = await app.token('u')
    using socket = await connectSocket(`${proxy.url}/ws?token=${token}&cursor=`)
    using stream = await connectStream(`${proxy.url}/sse?token=${token}`)
    await stream.nextOf('connected')
    await socket.nextOf('connected')
    await send(app, 'u', 'x'.repeat(60_000))
    expect((await socket.nextOf('notification')).payload).toHaveLength(60_000)
    expect((await stream.nextOf('notification')).data.payload).toHaveLength(60_000)

    const headers = { 'content-type': 'application/json', 'x-api-key': 'wrong' }
    const body = JSON.stringify({ id: 'a', text: 'x'.repeat(2_000_000) })
    const answer = await fetch(`${proxy.url}/api/v1/templates`, { method: 'POST', headers, body })
    expect(answer.status).toBe(401)

    // Exhaust this address with its third connection. Another address has its own bucket.
    using _third = await connectSocket(`${proxy.url}/ws?token=${token}`)
    const path = `${proxy.url}/sse?token=${token}`
    expect((await fetch(path)).status).toBe(429)
    using other = await connectStream(path, { 'x-forwarded-for': '203.0.113.7' })
    expect(other.response.status).toBe(200)
  },
  TEST_MS,
)

test(
  'behind nginx as documented, a draining node costs new streams nothing',
  async () => {
    await using staying = await startService({ DRAIN_SECONDS: '30' })
    await using leaving = await startService({ DRAIN_SECONDS: '30' })
    await using proxy = await startNginx([leaving.port, staying.port])
    using _open = await connectStream(`${leaving.url}/sse?token=${await leaving.token('other')}`)
    leaving.signal('SIGTERM')
    await leaving.line('drain.started')
    const token = await staying.token('u')
    const streams = await Promise.all(
      [1, 2, 3, 4].map(() => connectStream(`${proxy.url}/sse?token=${token}`)),
    )
    for (const stream of streams) stream.close()
    expect(streams.map(({ response }) => response.status)).toEqual([200, 200, 200, 200])
  },
  TEST_MS,
)

test(
  'behind nginx as documented, an EventSource survives that no node is there',
  async () => {
    await using first = await startService({ DRAIN_SECONDS: '0' })
    const { port } = first
    await using proxy = await startNginx([port])
    const browser = await startBrowser({ host: 'localhost:8081', port: proxy.port })
    const page = await browser.newPage()
    await page.goto('http://localhost:8081/health/live')
    const token = await first.token('u')
    await page.evaluate(`
    window.events = []
    window.source = new EventSource('/sse?token=${token}')
    source.addEventListener('connected', () => events.push('connected'))
    source.onerror = () => events.push(source.readyState === EventSource.CLOSED ? 'closed' : 'error')`)
    await page.waitForFunction(`events.includes('connected')`)
    first.signal('SIGKILL')
    await first.ended
    // Expect the break, and an empty stream instead of a 502.
    await page.waitForFunction(`events.filter(event => event === 'error').length >= 2`)
    await using _second = await startService({ SERVER_PORT: String(port) })
    await page.waitForFunction(`events.filter(event => event === 'connected').length === 2`)
    expect(await page.evaluate(`events.includes('closed')`)).toBe(false)
    await browser.close()
  },
  TEST_MS,
)
