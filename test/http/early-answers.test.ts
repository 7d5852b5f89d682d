import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { API_KEY } from '../support/app.ts'
import { type Service, startService } from '../support/service.ts'

const SEND = '/api/v1/notifications/send'
const KEY = `X-API-Key: ${API_KEY}`
const JSON_TYPE = 'Content-Type: application/json'
const PIECE = Buffer.alloc(60_000, 'x')
const PIECES = 50
const TRIES = 10

/** Writes a whole body, then reads, like a simple client. Resolves with all received bytes. */
function upload(port: number, lines: readonly string[], pieces: number, isChunked: boolean): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.on('data', data => {
    text += data.toString()
    if (/^connection: close$/im.test(lines.join('\n'))) return
    if (text.includes('\r\n\r\n{')) socket.end()
  })
  socket.on('error', ({ message }) => resolve(`${text}broken: ${message}`))
  socket.on('close', () => resolve(text))
  const length = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${pieces * PIECE.length}`
  socket.write(`${[...lines, 'Host: x', length].join('\r\n')}\r\n\r\n`)
  const head = isChunked ? `${PIECE.length.toString(16)}\r\n` : ''
  const piece = Buffer.concat([Buffer.from(head), PIECE, Buffer.from(isChunked ? '\r\n' : '')])
  const write = (left: number): void => {
    if (left > 0) socket.write(piece, () => write(left - 1))
    else if (isChunked) socket.write('0\r\n\r\n')
  }
  write(pieces)
  return promise
}

const statusOf = (text: string): string => (text.includes('broken: ') ? text.slice(-80) : text.slice(9, 12))

const ROWS: readonly (readonly [status: number, request: string, headers: readonly string[]])[] = [
  [413, `POST ${SEND} HTTP/1.1`, [KEY, JSON_TYPE]],
  [401, `POST ${SEND} HTTP/1.1`, [JSON_TYPE]],
  [404, 'POST /nowhere HTTP/1.1', []],
  [405, `PUT ${SEND} HTTP/1.1`, [KEY]],
  [413, 'POST /api/v1/templates HTTP/1.1', [KEY, 'Content-Type: text/plain']],
  [200, 'OPTIONS /nowhere HTTP/1.1', []],
]

// Runs in another process: in this one the server would read between two writes.
let service: Service
beforeAll(async () => {
  service = await startService()
})
afterAll(() => service[Symbol.asyncDispose]())

for (const isChunked of [false, true])
  test.each(ROWS)(
    `an early %d reaches a caller that writes 3 MB before it reads${isChunked ? ', in chunks' : ''}`,
    async (status, request, headers) => {
      for (const connection of [[], ['Connection: close']]) {
        const lines = [request, ...headers, ...connection]
        const seen = new Set<string>()
        // An answer to OPTIONS has no body: only closing ends the exchange.
        if (status === 200 && connection.length === 0) continue
        for (let n = 0; n < TRIES; n++)
          seen.add(statusOf(await upload(service.port, lines, PIECES, isChunked)))
        expect([...seen]).toEqual([String(status)])
      }
    },
  )

test('an early 429 reaches a caller that writes 3 MB before it reads', async () => {
  await using limited = await startService({ RATELIMIT_ENABLED: 'true', RATELIMIT_HTTP_BURST_SIZE: '1' })
  const lines = [`POST ${SEND} HTTP/1.1`, KEY, JSON_TYPE, 'Connection: close']
  expect(statusOf(await upload(limited.port, lines, PIECES, false))).toBe('413')
  for (let n = 0; n < TRIES; n++)
    expect(statusOf(await upload(limited.port, lines, PIECES, false))).toMatch(/^(?:413|429)$/)
})

test('a caller can reuse its connection after an early answer', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect({ port: service.port, host: '127.0.0.1' })
  let text = ''
  socket.on('data', data => {
    text += data.toString()
    if (text.includes('"alive"')) resolve(text)
  })
  socket.write(`POST ${SEND} HTTP/1.1\r\nHost: x\r\nContent-Length: ${PIECE.length}\r\n\r\n`)
  socket.write(PIECE)
  socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
  expect((await promise).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200'])
  socket.destroy()
})

test.each(['GET /health/live', 'GET /nowhere', 'GET /sse', 'HEAD /health/live'])(
  'after %s with a chunked body of 3 MB the caller has written all of it and can reuse its connection',
  async request => {
    const ended = Promise.withResolvers<string>()
    const socket = connect({ port: service.port, host: '127.0.0.1' })
    let text = ''
    socket.on('data', data => {
      text += data.toString()
    })
    socket.on('error', ({ message }) => ended.resolve(message))
    socket.on('close', () => ended.resolve(text))
    socket.write(`${request} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
    const chunk = Buffer.concat([Buffer.from(`${PIECE.length.toString(16)}\r\n`), PIECE, Buffer.from('\r\n')])
    for (let n = 0; n < PIECES; n++)
      await new Promise<unknown>(written => {
        socket.write(chunk, written)
      })
    socket.write('0\r\n\r\n')
    while (text === '' && socket.writable) await Bun.sleep(5)
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    const statuses = (await ended.promise).match(/HTTP\/1\.1 \d+/g)
    expect([statuses?.length, statuses?.at(-1)]).toEqual([2, 'HTTP/1.1 200'])
  },
)

test('a body that does not arrive delays its early answer by a few seconds, then the connection closes', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect({ port: service.port, host: '127.0.0.1' })
  let text = ''
  socket.on('data', data => {
    text += data.toString()
  })
  socket.on('close', () => resolve(text))
  socket.write(`POST ${SEND} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nabc`)
  expect(await promise).toMatch(/^HTTP\/1\.1 401 [\s\S]*^connection: close\r$/im)
}, 15_000)

test('the server reads an endless body up to a bound, then closes the connection', async () => {
  const closed = Promise.withResolvers<void>()
  const socket = connect({ port: service.port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.on('close', () => closed.resolve())
  socket.write(`POST ${SEND} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
  let written = 0
  const chunk = Buffer.concat([Buffer.from(`${PIECE.length.toString(16)}\r\n`), PIECE, Buffer.from('\r\n')])
  const write = () => {
    while (socket.writable && socket.write(chunk)) written += PIECE.length
  }
  socket.on('drain', write)
  write()
  await closed.promise
  // The kernel's buffers add to the 4 MiB.
  expect(written).toBeLessThan(32 * 1024 * 1024)
}, 15_000)
