import { describe, expect, test } from 'bun:test'
import { startPair } from '../support/cluster.ts'
import { socketOf } from '../support/visit.ts'

describe.concurrent('Nodes on one bus', () => {
  test('disconnect a user everywhere', async () => {
    await using cluster = await startPair()
    const [a, b] = cluster.nodes
    using first = await socketOf(a, 'u')
    using second = await socketOf(b, 'u')
    expect((await a.post('/api/v1/users/u/disconnect', {})).json).toMatchObject({ disconnected: 2 })
    for (const { closed } of [first, second]) expect(await closed).toMatchObject({ code: 4403 })
  }, 20_000)
})
