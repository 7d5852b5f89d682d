import { describe, expect, test } from 'bun:test'
import { startPair } from '../support/cluster.ts'
import { send, socketOf, streamOf } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true' }

describe.concurrent('Nodes on one bus', () => {
  test('disconnect a user everywhere', async () => {
    await using pair = await startPair()
    const [a, b] = pair.nodes
    using first = await socketOf(a, 'u')
    using second = await socketOf(b, 'u')
    expect((await a.post('/api/v1/users/u/disconnect', {})).json).toMatchObject({ disconnected: 2 })
    for (const { closed } of [first, second]) expect(await closed).toMatchObject({ code: 4403 })
  }, 20_000)

  test('bring a user’s notifications to sockets and streams on every node, each once and in order', async () => {
    await using pair = await startPair(LOG)
    const [a, b] = pair.nodes
    using first = await socketOf(a, 'u', { cursor: '' })
    using second = await socketOf(b, 'u', { cursor: '' })
    using stream = await streamOf(b, 'u')
    await first.next()
    await second.next()
    await stream.next()
    const results = []
    for (let n = 0; n < 20; n++) results.push(await send(n % 2 === 0 ? a : b, 'u', n))
    for (const result of results)
      expect(result).toMatchObject({
        success: true,
        delivered_to: 3,
        failed: 0,
        queued: 0,
        status: 'delivered',
      })
    const wanted = results.map(({ notification_id }, n) => [notification_id, n])
    for (const socket of [first, second])
      expect((await socket.take(20)).map(({ id, payload }) => [id, payload])).toEqual(wanted)
    expect((await stream.take(20)).map(({ data }) => [data.id, data.payload])).toEqual(wanted)
  }, 20_000)
})
