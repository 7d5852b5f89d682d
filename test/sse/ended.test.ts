import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { exchangeRaw, type RawExchange } from '../support/raw-http.ts'
import { connectionsOf, eventually, send } from '../support/visit.ts'

const LIMIT_MS = 30_000
const PAYLOAD = 'x'.repeat(60_000)

const openStream = async (app: TestApp, user: string): Promise<RawExchange> => {
  const stream = await exchangeRaw(app.port, [`GET /sse?token=${await app.token(user)} HTTP/1.1`])
  await stream.until(text => text.includes('event: connected'))
  return stream
}

const disconnect = (app: TestApp, user: string) => app.post(`/api/v1/users/${user}/disconnect`, {})

test.concurrent(
  'the socket of a stream that the service ended closes after KEEP_ALIVE_SECONDS',
  async () => {
    await using app = await startTestApp({ KEEP_ALIVE_SECONDS: '1' })
    using stream = await openStream(app, 'u')
    await disconnect(app, 'u')
    await stream.closed
    expect(stream.text()).toContain('event: error\ndata: {"type":"error","code":"FORBIDDEN"')
  },
  LIMIT_MS,
)

test.concurrent(
  'a client that is cut because it does not read loses its socket, whatever KEEP_ALIVE_SECONDS is, and gets whole events',
  async () => {
    await using app = await startTestApp({ KEEP_ALIVE_SECONDS: '0', SEND_BUFFER_BYTES: '65536' })
    using stream = await openStream(app, 'u')
    stream.stall()
    await eventually(async () => {
      await send(app, 'u', PAYLOAD)
      return (await connectionsOf(app, 'u')) === 0
    }, LIMIT_MS)
    stream.resume()
    await stream.closed
    expect(stream.text()).toEndWith('\n\n')
  },
  LIMIT_MS,
)

test.concurrent(
  'a client that does not read loses its socket when its user is disconnected',
  async () => {
    await using app = await startTestApp({ KEEP_ALIVE_SECONDS: '0' })
    using stream = await openStream(app, 'u')
    stream.stall()
    // More than the system takes for a socket, and less than the bound of the service beyond it.
    for (let n = 0; n < 80; n++) await send(app, 'u', PAYLOAD)
    expect(await connectionsOf(app, 'u')).toBe(1)
    await disconnect(app, 'u')
    stream.resume()
    await stream.closed
    const text = stream.text()
    expect(text.match(/^event: notification$/gm)).toHaveLength(80)
    expect(text).toEndWith(
      'data: {"type":"error","code":"FORBIDDEN","message":"disconnected by the backend"}\n\n',
    )
  },
  LIMIT_MS,
)

test.concurrent(
  'a client that resets its connection during a reading of the send queues has not received what it did not take',
  async () => {
    const clock = createTestClock()
    let readings = 0
    let onRead: (() => void) | undefined
    await using app = await startTestApp(
      { QUEUE_ENABLED: 'true' },
      {
        clock,
        wrapQueues: queues => ({
          ...queues,
          read: async () => {
            if (onRead !== undefined) {
              onRead()
              return new Map()
            }
            const unacknowledged = await queues.read()
            readings++
            return unacknowledged
          },
        }),
      },
    )
    using stream = await openStream(app, 'u')
    stream.stall()
    for (let n = 0; n < 9; n++) await send(app, 'u', PAYLOAD)
    const { notification_id: last } = await send(app, 'u', PAYLOAD)
    const before = readings
    clock.jump(31)
    await eventually(() => readings > before, LIMIT_MS)
    onRead = () => stream.reset()
    clock.jump(31)
    await eventually(async () => (await connectionsOf(app, 'u')) === 0, LIMIT_MS)
    expect((await app.get(`/api/v1/notifications/${last}`)).json.recipients[0].state).toBe('sent')
  },
  LIMIT_MS,
)
