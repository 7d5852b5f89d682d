import { expect, setDefaultTimeout, test } from 'bun:test'
import { runCli } from '../support/cli.ts'
import { startListening } from '../support/listener.ts'
import { startService } from '../support/service.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

type Answer = (request: Request) => Response

const event = (name: string, data: object, id?: string): string =>
  `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
const connected = (cursor: string, heartbeat = 30): string =>
  event('connected', { user_id: 'u', cursor, recovered: true, replayed: 0, heartbeat_seconds: heartbeat })
const notification = (n: number): string =>
  event('notification', { event_type: 'e', payload: n, occurred_at: 'now' }, `k:${n}`)
const stream = (...events: readonly string[]): Response =>
  new Response(events.join(''), { headers: { 'content-type': 'text/event-stream' } })
const refusal = (status: number, code: string, headers: Record<string, string> = {}): Response =>
  Response.json({ error: { code, message: 'refused' } }, { status, headers })

/** A service that answers each connect as planned, and remembers the cursors. */
function startPlanned(...answers: readonly Answer[]) {
  const cursors: (string | null)[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: request => {
      cursors.push(new URL(request.url).searchParams.get('cursor'))
      return answers[cursors.length - 1]?.(request) ?? refusal(403, 'FORBIDDEN')
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    cursors,
    [Symbol.asyncDispose]: async () => await server.stop(true),
  }
}

test('an expired token is signed again, and the stream continues after the last notification', async () => {
  await using service = startPlanned(
    () => stream(connected('k:0'), notification(1), event('error', { code: 'UNAUTHORIZED', message: 'x' })),
    () => stream(connected('k:1'), notification(2)),
  )
  await using listener = startListening(['--user', 'u', '--json', '--url', service.url], {})
  for (const n of [1, 2]) expect(JSON.parse(await listener.next()).payload).toBe(n)
  // The service refuses the third connect.
  expect(await listener.exited).toBe(1)
  expect(await listener.note(/^Last cursor/)).toStartWith('Last cursor: k:2 ')
  expect(await listener.note(/^FORBIDDEN/)).toBe('FORBIDDEN: refused')
  expect(service.cursors).toEqual([null, 'k:1', 'k:2'])
})

test('a token that was given and has expired ends it with exit code 1 and the last cursor', async () => {
  await using service = startPlanned(() =>
    stream(connected('k:0'), notification(1), event('error', { code: 'UNAUTHORIZED', message: 'expired' })),
  )
  const { code, stderr } = await runCli(['listen', '--token', 't', '--url', service.url])
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^Connected [^\n]+\nLast cursor: k:1 [^\n]+\nUNAUTHORIZED: expired\n$/),
  })
})

test('a limit that is reached after a break is waited for, and the reason is shown', async () => {
  await using service = startPlanned(
    () => stream(connected('k:0')),
    () => refusal(429, 'CONNECTION_LIMIT', { 'retry-after': '1' }),
    () => stream(connected('k:0'), notification(1)),
  )
  await using listener = startListening(['--user', 'u', '--url', service.url], {})
  await listener.note(/^Disconnected, reconnecting in \d\.\d s$/)
  await listener.note(/^Disconnected, reconnecting in 1\.0 s \(CONNECTION_LIMIT: refused\)$/)
  expect(await listener.next()).toBe('now  e  1  k:1')
  expect(await listener.exited).toBe(1)
})

test('a stream that is silent for two heartbeats is opened again', async () => {
  const silent = new ReadableStream({
    start: controller => controller.enqueue(new TextEncoder().encode(connected('k:0', 0.05))),
  })
  await using service = startPlanned(
    () => new Response(silent, { headers: { 'content-type': 'text/event-stream' } }),
    () => stream(connected('k:0'), notification(1)),
  )
  await using listener = startListening(['--user', 'u', '--url', service.url], {})
  await listener.note(/^Disconnected, reconnecting in \S+ s \(nothing arrived in time\)$/)
  expect(await listener.next()).toBe('now  e  1  k:1')
})

test('control characters of a notification are escaped, in text and in JSON', async () => {
  const answer = () => stream(connected('k:0'), event('notification', { payload: '\u009b1m\u007f' }, 'k:1'))
  for (const args of [[], ['--json']]) {
    await using service = startPlanned(answer)
    const { stdout } = await runCli(['listen', '--user', 'u', '--url', service.url, ...args])
    expect(stdout).toContain('\\u009b1m\\u007f')
  }
})

test('a token for --channels allows these channels, also with CHANNEL_ACCESS=claims', async () => {
  const env = { CHANNEL_ACCESS: 'claims', DRAIN_SECONDS: '0' }
  await using service = await startService(env)
  const address = { SERVER_PORT: String(service.port) }
  await using listener = startListening(['--user', 'u', '--channels', 'a,b'], address)
  await listener.note(/^Connected/)
  await runCli(['send', '--channel', 'b', '--type', 'e'], { env: address })
  expect(await listener.next()).toMatch(/ e {2}null$/)
})
