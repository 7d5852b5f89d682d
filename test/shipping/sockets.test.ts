import { expect, test } from 'bun:test'
import { connect } from 'node:net'
import { join } from 'node:path'
import { API_KEY } from '../support/app.ts'
import { connectStream } from '../support/client.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

/** Starts the service with this limit of file descriptors. */
const startWith = (descriptors: number, env: Record<string, string> = {}): Promise<Service> =>
  startService(env, {
    command: ['sh', '-c', `ulimit -n ${descriptors}; exec "${process.execPath}" src/main.ts`],
    cwd: join(import.meta.dir, '../..'),
  })

interface Caller extends Disposable {
  readonly isClosed: boolean
  /** Sends a request on this connection; resolves with the answer, empty if there is none. */
  ask(path: string, body?: object): Promise<string>
}

/** Connection that is kept alive. */
async function openCaller(port: number): Promise<Caller> {
  let isClosed = false
  let text = ''
  const end = (): void => {
    isClosed = true
  }
  // A rejected connection may be reset before it counts as open.
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data: (_, chunk) => {
        text += chunk
      },
      close: end,
      error: end,
      connectError: end,
    },
  }).catch(end)
  return {
    get isClosed() {
      return isClosed
    },
    ask: async (path, body) => {
      text = ''
      const json = body === undefined ? '' : JSON.stringify(body)
      const fields = `Host: 127.0.0.1\r\nX-API-Key: ${API_KEY}\r\nContent-Type: application/json\r\n`
      const method = body === undefined ? 'GET' : 'POST'
      socket?.write(`${method} ${path} HTTP/1.1\r\n${fields}Content-Length: ${json.length}\r\n\r\n${json}`)
      await eventually(() => {
        const [, head = '', body = ''] = /^([\s\S]*?)\r\n\r\n([\s\S]*)$/.exec(text) ?? []
        const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN)
        return isClosed || Buffer.byteLength(body) >= length || text.endsWith('0\r\n\r\n')
      })
      return text
    },
    [Symbol.dispose]: () => void socket?.terminate(),
  }
}

const cpuOf = async (pid: number): Promise<number> => {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

test('when silent connections use all descriptors, the service stays idle, answers existing connections, and recovers', async () => {
  await using service = await startWith(200, { TRUSTED_PROXIES: '127.0.0.1' })
  using caller = await openCaller(service.port)
  expect(await caller.ask('/health')).toStartWith('HTTP/1.1 200')
  using stream = await connectStream(`${service.url}/sse?token=${await service.token('u')}`)
  const silent = await Promise.all(Array.from({ length: 300 }, () => openCaller(service.port)))
  expect(await service.line('sockets.full')).toMatchObject({ max: 100 })
  await eventually(() => silent.some(({ isClosed }) => isClosed))

  const [before, at] = [await cpuOf(service.pid), performance.now()]
  await eventually(() => performance.now() - at > 2_000)
  expect((await cpuOf(service.pid)) - before).toBeLessThan(1)

  expect(await caller.ask('/health')).toMatch(/"status":"degraded".*"sockets":\{"status":"full"/)
  expect(await caller.ask('/metrics')).toMatch(
    /^HTTP\/1\.1 200[\s\S]*ara_connections_refused_total\{reason="total"\} [1-9]/,
  )
  for (const path of ['/docs', '/openapi.json']) expect(await caller.ask(path)).toStartWith('HTTP/1.1 200')
  const body = { target_user_id: 'u', event_type: 'e', payload: 'still here' }
  expect(await caller.ask('/api/v1/notifications/send', body)).toMatch(/"delivered_to":1/)
  expect((await stream.nextOf('notification')).data.payload).toBe('still here')
  expect(service.lines.filter(({ event }) => event === 'sockets.turned_away').length).toBeLessThanOrEqual(6)

  for (const each of silent) each[Symbol.dispose]()
  await service.line('sockets.free')
  using late = await openCaller(service.port)
  expect(await late.ask('/health')).toMatch(/"status":"healthy"/)
  expect(service.lines.filter(({ level }) => level === 'error')).toEqual([])
}, 40_000)

test('beyond MAX_SOCKETS a new connection is closed at once, and open ones continue', async () => {
  await using service = await startWith(1_000, { MAX_SOCKETS: '10', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const callers: Caller[] = []
  for (let n = 0; n < 10; n++) {
    const caller = await openCaller(service.port)
    expect(await caller.ask('/health/live')).toStartWith('HTTP/1.1 200')
    callers.push(caller)
  }
  await service.line('sockets.full')
  const over = await openCaller(service.port)
  expect(await over.ask('/health')).toBe('')
  expect(over.isClosed).toBe(true)
  for (const caller of callers) expect(await caller.ask('/health/live')).toStartWith('HTTP/1.1 200')
  callers[0]?.[Symbol.dispose]()
  await service.line('sockets.free')
  using again = await openCaller(service.port)
  expect(await again.ask('/health')).toStartWith('HTTP/1.1 200')
  for (const caller of callers) caller[Symbol.dispose]()
}, 20_000)

test('of many simultaneous streams at most MAX_SOCKETS stay; the others are told when to retry', async () => {
  await using service = await startWith(1_000, { MAX_SOCKETS: '10', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const url = `${service.url}/sse?token=${await service.token('u')}`
  const answers = await Promise.allSettled(Array.from({ length: 30 }, () => connectStream(url)))
  const open = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []))
  expect(open.length).toBeWithin(1, 14)
  for (const answer of answers)
    if (answer.status === 'rejected') expect(String(answer.reason)).toMatch(/429|ECONNRESET|closed/i)
  for (const stream of open) stream.close()
}, 20_000)

/** Silent connections from one address; `open` tells how many of them still are. */
function flood(port: number, localAddress: string, count: number) {
  const sockets = Array.from({ length: count }, () => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    socket.on('error', () => undefined)
    return socket
  })
  return {
    open: () => sockets.filter(({ readyState }) => readyState === 'open').length,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Asks from an address; resolves with the first line of the answer, empty when the connection was closed. */
const askFrom = (port: number, localAddress: string): Promise<string> =>
  new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    socket.once('data', data => {
      socket.destroy()
      resolve(data.toString().slice(0, 12))
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(''))
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
  })

test('at MAX_SOCKETS the silent sockets of the address that holds most of them end, and others connect', async () => {
  await using service = await startWith(1_000, { MAX_SOCKETS: '100' })
  using caller = await openCaller(service.port)
  expect(await caller.ask('/health')).toStartWith('HTTP/1.1 200')
  using few = flood(service.port, '127.0.0.8', 5)
  await eventually(() => few.open() === 5)
  using many = flood(service.port, '127.0.0.9', 600)
  await service.line('sockets.full')
  await service.line('sockets.free')
  await eventually(async () => (await askFrom(service.port, '127.0.0.77')) === 'HTTP/1.1 200')
  await eventually(() => many.open() < 100)
  expect(few.open()).toBe(5)
  expect(await caller.ask('/health')).toStartWith('HTTP/1.1 200')
}, 20_000)

test('silent sockets of a trusted proxy stay', async () => {
  await using service = await startWith(1_000, { MAX_SOCKETS: '20', TRUSTED_PROXIES: '127.0.0.8' })
  using proxy = flood(service.port, '127.0.0.8', 15)
  await eventually(() => proxy.open() === 15)
  using others = flood(service.port, '127.0.0.9', 10)
  await service.line('sockets.full')
  await service.line('sockets.free')
  expect(proxy.open()).toBe(15)
  await eventually(() => others.open() === 0)
}, 20_000)
