import { createServer, type Socket } from 'node:net'

/** Answers a whole request over the bare socket. */
type Behaviour = (socket: Socket, place: { readonly other: string }) => void

const OK = '{"success":true,"notification_id":"n","delivered_to":0,"failed":0,"queued":1,"status":"queued"}'
const JSON_TYPE = 'content-type: application/json'
const HTML = '<html><body>Welcome</body></html>'

const head = (status: number, lines: readonly string[], length: number | undefined): string =>
  [
    `HTTP/1.1 ${status} Text`,
    ...lines,
    ...(length === undefined ? [] : [`content-length: ${length}`]),
    '',
    '',
  ].join('\r\n')

const answer =
  (status: number, body: string, ...lines: readonly string[]): Behaviour =>
  socket =>
    void socket.write(head(status, lines, body.length) + body)

const refusal = (status: number, code: string, ...lines: readonly string[]): Behaviour =>
  answer(status, JSON.stringify({ error: { code, message: 'not now' } }), JSON_TYPE, ...lines)

const limited = (retryAfter: string): Behaviour => refusal(429, 'RATE_LIMITED', `retry-after: ${retryAfter}`)

const redirect =
  (status: number): Behaviour =>
  (socket, { other }) =>
    answer(status, '', `location: ${other}/api`)(socket, { other })

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toUTCString()

/** Each is the first part of a path. */
export const BEHAVIOURS = {
  'reset-at-once': socket => socket.resetAndDestroy(),
  'close-at-once': socket => socket.destroy(),
  'reset-in-head': socket => socket.write('HTTP/1.1 200 OK\r\ncontent-ty', () => socket.resetAndDestroy()),
  'reset-in-body': socket =>
    socket.write(head(200, [JSON_TYPE], OK.length) + OK.slice(0, 20), () => socket.resetAndDestroy()),
  'close-in-body': socket => socket.end(head(200, [JSON_TYPE], OK.length) + OK.slice(0, 20)),
  'close-in-chunks': socket =>
    socket.end(
      `${head(200, [JSON_TYPE, 'transfer-encoding: chunked'], undefined)}5\r\n${OK.slice(0, 5)}\r\n`,
    ),
  'not-http': socket => socket.end('220 mail.example.org ESMTP\r\n'),
  'hang-before-head': () => {},
  'hang-in-body': socket => void socket.write(head(200, [JSON_TYPE], OK.length) + OK.slice(0, 20)),
  'drips-forever': socket => {
    socket.write(head(200, [JSON_TYPE, 'transfer-encoding: chunked'], undefined))
    const drip = setInterval(() => socket.write('1\r\n \r\n'), 20)
    socket.on('close', () => clearInterval(drip))
  },
  'half-json': answer(200, OK.slice(0, 40), JSON_TYPE),
  'html-200': answer(200, HTML, 'content-type: text/html'),
  'html-403': answer(403, HTML, 'content-type: text/html'),
  'html-404': answer(404, HTML, 'content-type: text/html'),
  'empty-200': answer(200, '', JSON_TYPE),
  'empty-204': socket => void socket.write(head(204, [], undefined)),
  'null-200': answer(200, 'null', JSON_TYPE),
  'list-200': answer(200, '[]', JSON_TYPE),
  'text-200': answer(200, 'It works!', 'content-type: text/plain'),
  'bad-gateway': answer(502, HTML, 'content-type: text/html'),
  'gateway-timeout': answer(504, HTML, 'content-type: text/html'),
  'other-json-404': answer(404, '{"timestamp":1,"status":404,"error":"Not Found"}', JSON_TYPE),
  'other-json-500': answer(500, '{"error":{}}', JSON_TYPE),
  away: refusal(503, 'STORE_UNAVAILABLE', 'retry-after: 1', 'x-request-id: r-1'),
  limited: limited('3'),
  'limited-by-date': socket => limited(inSeconds(5))(socket, { other: '' }),
  'limited-by-old-date': limited('Wed, 21 Oct 2015 07:28:00 GMT'),
  'limited-silently': refusal(429, 'RATE_LIMITED'),
  'limited-negative': limited('-5'),
  'limited-oddly': limited('soon'),
  'limited-for-a-day': limited('86400'),
  'limited-for-ever': limited(`1${'0'.repeat(400)}`),
  busy: refusal(409, 'IDEMPOTENCY_IN_PROGRESS', 'retry-after: 1'),
  unauthorized: refusal(401, 'UNAUTHORIZED'),
  'moved-301': redirect(301),
  'moved-302': redirect(302),
  'moved-303': redirect(303),
  'moved-307': redirect(307),
  'moved-308': redirect(308),
} satisfies Record<string, Behaviour>

export interface Misbehaving extends AsyncDisposable {
  readonly url: string
  /** Keys of the requests, by behaviour. */
  readonly keys: ReadonlyMap<string, readonly string[]>
  /** Requests that followed a redirect. */
  readonly followed: number
}

async function listen(onRequest: (socket: Socket, text: string) => void) {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    let text = ''
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', bytes => {
      text += bytes.toString('latin1')
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0)
      const end = text.indexOf('\r\n\r\n')
      if (end < 0 || text.length < end + 4 + length) return
      const whole = text
      text = ''
      onRequest(socket, whole)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${port}`, close }
}

/** A server that answers `/<behaviour>/…` in this way, and another one to which it redirects. */
export async function startMisbehaving(): Promise<Misbehaving> {
  const keys = new Map<string, string[]>()
  let followed = 0
  const other = await listen(socket => {
    followed++
    answer(200, OK, JSON_TYPE)(socket, { other: '' })
  })
  const behaviours: Readonly<Record<string, Behaviour>> = BEHAVIOURS
  const server = await listen((socket, text) => {
    const name = /^POST \/([^/]+)\//.exec(text)?.[1] ?? ''
    const [, key] = /\r\nidempotency-key: (\S+)/i.exec(text) ?? []
    if (key !== undefined) keys.set(name, [...(keys.get(name) ?? []), key])
    behaviours[name]?.(socket, { other: other.url })
  })
  return {
    url: server.url,
    keys,
    get followed() {
      return followed
    },
    [Symbol.asyncDispose]: async () => {
      await server.close()
      await other.close()
    },
  }
}
