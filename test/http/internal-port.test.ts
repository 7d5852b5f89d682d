import { expect, test } from 'bun:test'
import { ConfigError, loadConfig } from '../../src/config/config.ts'
import { API_KEY, SECRET, startTestApp } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { spawnService, startService } from '../support/service.ts'

const OPERATOR_PATHS = [
  '/',
  '/metrics',
  '/health',
  '/health/live',
  '/health/ready',
  '/stats',
  '/openapi.json',
  '/docs',
]
const HEADERS = { 'x-api-key': API_KEY }

const statusesOf = (url: string, method = 'GET') =>
  Promise.all(
    OPERATOR_PATHS.map(async path => (await fetch(url + path, { method, headers: HEADERS })).status),
  )

const rawStatus = async (port: number, path: string): Promise<number> => {
  using exchange = await exchangeRaw(port, [`GET ${path} HTTP/1.1`, `X-API-Key: ${API_KEY}`])
  return Number(exchange.head.split(' ', 2)[1])
}

/** Sends HTTP/1.0 without Host. */
async function rawStatus10(port: number, path: string): Promise<number> {
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: { data: (own, bytes) => own.data.resolve(bytes.toString()) },
    data: Promise.withResolvers<string>(),
  })
  socket.write(`GET ${path} HTTP/1.0\r\nX-API-Key: ${API_KEY}\r\n\r\n`)
  const head = await socket.data.promise
  socket.end()
  return Number(head.split(' ', 2)[1])
}

test('operator paths are served on INTERNAL_PORT and unknown on SERVER_PORT', async () => {
  const port = await freePort()
  await using service = await startTestApp({ INTERNAL_PORT: String(port) })
  expect(service.app.internalPort).toBe(port)
  for (const method of ['GET', 'HEAD', 'POST']) {
    expect(await statusesOf(service.url, method)).toEqual(OPERATOR_PATHS.map(() => 404))
  }
  expect(await (await fetch(`${service.url}/metrics`)).json()).toEqual({
    error: { code: 'NOT_FOUND', message: expect.any(String) },
  })
  expect(await statusesOf(`http://127.0.0.1:${port}`)).toEqual(OPERATOR_PATHS.map(() => 200))
  const page = await (await fetch(`http://127.0.0.1:${port}/docs`)).text()
  const [, script = ''] = /src="(docs\/[^"]+)"/.exec(page) ?? []
  expect((await fetch(`http://127.0.0.1:${port}/${script}`)).status).toBe(200)
  expect((await fetch(`${service.url}/${script}`)).status).toBe(404)
})

test('no spelling of a path reaches an operator path on SERVER_PORT', async () => {
  await using service = await startTestApp({ INTERNAL_PORT: String(await freePort()) })
  const spellings = [
    '/sse\\..\\metrics',
    '/ws/%2e%2e/metrics',
    '/./metrics',
    '/ws/../metrics',
    '/ws/.%2E/metrics',
    '//metrics',
    '/metrics/',
    '/%6detrics',
    '/METRICS',
    '/api/v1/users/\\..\\..\\..\\..\\metrics',
    'http://localhost/metrics',
    'http://localhost/sse/../health',
  ]
  for (const path of spellings) expect([path, await rawStatus(service.port, path)]).toEqual([path, 404])
})

test('a doubled slash, a backslash and a percent-encoded letter make an unknown path', async () => {
  await using service = await startTestApp()
  for (const path of ['//metrics', '/health//live', '/%68ealth', '/api/v1//channels', '/docs/'])
    expect([path, await rawStatus(service.port, path)]).toEqual([path, 404])
  // Without Host the runtime does not normalise: `/sse\..\metrics` is not `/metrics`.
  for (const path of ['/sse\\..\\metrics', '/ws/../metrics', '/api/v1/users/a\\b/presence'])
    expect([path, await rawStatus10(service.port, path)]).toEqual([path, 404])
})

test('both ports accept sends, only SERVER_PORT accepts sockets', async () => {
  const port = await freePort()
  await using service = await startTestApp({ INTERNAL_PORT: String(port) })
  const token = await service.token('u')
  using client = await connectSocket(`${service.url}/ws?token=${token}`)
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1/notifications/broadcast`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...HEADERS },
    body: JSON.stringify({ event_type: 'e', payload: 1 }),
  })
  expect(await answer.json()).toMatchObject({ delivered_to: 1 })
  expect(await client.next()).toMatchObject({ event_type: 'e' })
  for (const path of ['/ws', '/sse'])
    expect((await fetch(`http://127.0.0.1:${port}${path}?token=${token}`)).status).toBe(404)
})

test('`/` redirects browsers to /docs and answers programs with name and version', async () => {
  await using service = await startTestApp()
  const page = await fetch(service.url, {
    headers: { accept: 'text/html,application/xhtml+xml;q=0.9' },
    redirect: 'manual',
  })
  expect([page.status, page.headers.get('location')]).toEqual([302, '/docs'])
  const { status, json } = await service.get('/', { accept: '*/*' })
  expect([status, json]).toEqual([
    200,
    { service: 'ara-notification-service', version: '0.0.0-test', docs: '/docs' },
  ])
  const head = await fetch(service.url, { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  expect((await fetch(service.url, { method: 'POST' })).status).toBe(405)
})

test('a drain closes both ports, and /health/ready reports it on the internal one', async () => {
  const port = await freePort()
  await using service = await startTestApp({ INTERNAL_PORT: String(port), DRAIN_SECONDS: '0' })
  expect((await fetch(`http://127.0.0.1:${port}/health/ready`)).status).toBe(200)
  await service.app.drain()
  for (const each of [port, service.port])
    await expect(fetch(`http://127.0.0.1:${each}/health/live`)).rejects.toThrow()
})

test('the health command asks the internal port', async () => {
  const port = await freePort()
  await using service = await startService({ INTERNAL_PORT: String(port) })
  expect(service.lines.find(({ event }) => event === 'started')).toMatchObject({ internal_port: port })
  const ask = (env: Record<string, string>) =>
    Bun.spawn([process.execPath, 'src/main.ts', 'health'], {
      env: { JWT_SECRET: SECRET, API_KEY, SERVER_HOST: '127.0.0.1', ...env },
      stdout: 'ignore',
      stderr: 'ignore',
    }).exited
  expect(await ask({ SERVER_PORT: String(service.port), INTERNAL_PORT: String(port) })).toBe(0)
  expect(await ask({ SERVER_PORT: String(service.port) })).toBe(1)
})

test('an INTERNAL_PORT that is in use or equals SERVER_PORT prevents the start, with an error that names it', async () => {
  await using first = await startTestApp()
  const child = spawnService({ JWT_SECRET: SECRET, API_KEY, INTERNAL_PORT: String(first.port) })
  expect(await new Response(child.stderr).text()).toMatch(/^INTERNAL_PORT: expected a free port[^\n]+\n$/)
  expect(await child.exited).toBe(1)
  expect(() => loadConfig({ SERVER_PORT: '8081', INTERNAL_PORT: '8081' })).toThrow(
    new ConfigError('INTERNAL_PORT: expected another port than SERVER_PORT'),
  )
})

test('an idle connection closes after KEEP_ALIVE_SECONDS', async () => {
  await using service = await startTestApp({ KEEP_ALIVE_SECONDS: '1' })
  using exchange = await exchangeRaw(service.port, ['GET /health/live HTTP/1.1'])
  await exchange.closed
  expect(() => loadConfig({ KEEP_ALIVE_SECONDS: '256' })).toThrow(
    new ConfigError('KEEP_ALIVE_SECONDS: expected a whole number from 0 to 255'),
  )
})
