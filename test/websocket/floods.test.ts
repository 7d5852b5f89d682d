import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { frameOf } from '../support/raw-socket.ts'
import { broadcast, eventually, rawOf, settle, socketOf, streamOf } from '../support/visit.ts'

const CLOSE = 8
const PING = 9
const PONG = 10

const connections = async (app: TestApp): Promise<number> => (await app.get('/health')).json.connections.total
const flood = (opcode: number, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => frameOf(opcode, Buffer.from('x'))))

for (const [name, opcode] of [
  ['pings', PING],
  ['pongs that answer nothing', PONG],
] as const)
  test(`a client that floods ${name} is closed with 1008; one that sends a few stays connected`, async () => {
    await using app = await startTestApp()
    using modest = await rawOf(app, 'modest')
    using flooding = await rawOf(app, 'flooding')
    modest.write(flood(opcode, 50))
    flooding.write(flood(opcode, 10_000))
    await flooding.closed
    const end = flooding.frames.all.find(frame => frame.opcode === CLOSE)
    if (end !== undefined) expect(end.payload.readUInt16BE(0)).toBe(1008)
    expect(app.app.stats.closes[1008]).toBe(1)
    modest.send(PING, 'still here')
    await modest.frames.until(({ opcode, payload }) => opcode === PONG && `${payload}` === 'still here')
    expect(await connections(app)).toBe(1)
  })

test('the clients with the largest buffers are cut when all buffers together are over the bound; all others get everything', async () => {
  await using app = await startTestApp({
    SEND_BUFFERS_TOTAL_BYTES: '8388608',
    SEND_BUFFER_BYTES: '67108864',
  })
  const stuck = await Promise.all(Array.from({ length: 6 }, (_, n) => rawOf(app, `stuck${n}`)))
  for (const client of stuck) client.stall()
  using reading = await socketOf(app, 'reading')
  using stream = await streamOf(app, 'stream')
  await stream.nextOf('connected')
  const payload = 'x'.repeat(60_000)
  let sent = 0
  while (app.app.stats.slowConsumers < 4) {
    await broadcast(app, payload)
    sent++
    await settle(reading)
  }
  expect(reading.inbox.all.filter(({ type }) => type === 'notification')).toHaveLength(sent)
  await eventually(() => stream.inbox.all.filter(({ event }) => event === 'notification').length === sent)
  expect(await connections(app)).toBeGreaterThanOrEqual(2)
  for (const client of stuck) client.reset()
}, 30_000)
