import { describe, expect, test } from 'bun:test'
import { LEASE_MS } from '../../src/trigger/lease/lease.ts'
import { createTurn } from '../../src/trigger/lease/turn.ts'
import { simulate } from './lease.ts'

/** A node whose clock and answers the test controls. */
function create() {
  let now = 1_000
  let since = 0
  const dispatched: string[] = []
  const lost: string[] = []
  const changes: boolean[] = []
  let fence = Promise.withResolvers<void>()
  const turn = createTurn({
    handle: name => dispatched.push(name.toString()),
    onLost: name => lost.push(name.toString()),
    fence: () => fence.promise,
    onChange: isHolder => changes.push(isHolder),
    clock: { monotonic: () => now },
  })
  turn.subscribed()
  return {
    dispatched,
    lost,
    changes,
    hear: (name: string, bytes = 1) => turn.receive(Buffer.from(name), Buffer.alloc(bytes)),
    answer: (type: Parameters<typeof turn.answered>[0]['type'], { leftMs = 0, agoMs = 0 } = {}) => {
      if (type !== 'kept') since++
      turn.answered({ type, leftMs, since: String(since), askedAt: now - agoMs })
    },
    /** The node got the lease again, and the answer was lost. */
    lose: () => {
      since++
    },
    unsubscribed: turn.unsubscribed,
    pass: (ms: number) => {
      now += ms
    },
    fenced: async () => {
      fence.resolve()
      fence = Promise.withResolvers()
      await new Promise(setImmediate)
    },
  }
}

describe('A node', () => {
  test('that is the first one dispatches what it has heard since it subscribed', () => {
    const node = create()
    node.hear('1')
    expect(node.dispatched).toEqual([])
    node.answer('first')
    node.hear('2')
    expect([node.dispatched, node.changes]).toEqual([['1', '2'], [true]])
  })

  test('dispatches nothing while another node holds the lease', () => {
    const node = create()
    node.hear('1')
    node.answer('held', { leftMs: 1_500 })
    node.hear('2')
    expect([node.dispatched, node.changes]).toEqual([[], []])
  })

  test('that takes over drops what the former holder may have dispatched', async () => {
    const node = create()
    node.answer('held', { leftMs: 1_500 })
    node.hear('1')
    node.pass(1_501)
    node.answer('taken')
    node.hear('2')
    await node.fenced()
    node.hear('3')
    expect(node.dispatched).toEqual(['3'])
  })

  test('that takes over from a Redis that has forgotten the holder waits until that one has stopped', async () => {
    const node = create()
    node.answer('held', { leftMs: 1_500 })
    node.answer('first')
    await node.fenced()
    node.hear('1')
    node.pass(LEASE_MS - 1)
    node.answer('kept')
    await node.fenced()
    node.hear('2')
    node.pass(1)
    node.answer('kept')
    await node.fenced()
    node.hear('3')
    expect(node.dispatched).toEqual(['3'])
  })

  test('that takes over a released lease does not wait', async () => {
    const node = create()
    node.answer('held', { leftMs: 1_500 })
    node.answer('released')
    await node.fenced()
    node.hear('1')
    expect(node.dispatched).toEqual(['1'])
  })

  test('whose lease is over lets messages wait, and dispatches them if no other node had it', () => {
    const node = create()
    node.answer('first')
    node.pass(LEASE_MS)
    node.hear('1')
    expect(node.dispatched).toEqual([])
    node.answer('kept')
    node.hear('2')
    expect(node.dispatched).toEqual(['1', '2'])
    expect(node.changes).toEqual([true])
  })

  for (const type of ['held', 'taken', 'released', 'first'] as const)
    test(`whose lease is over drops messages when the answer is ${type}`, async () => {
      const node = create()
      node.answer('first')
      node.pass(LEASE_MS)
      node.hear('1')
      node.answer(type)
      await node.fenced()
      expect(node.dispatched).toEqual([])
    })

  test('drops what waits if an answer was lost: another node may have had the lease', async () => {
    const node = create()
    node.answer('first')
    node.pass(LEASE_MS)
    node.hear('1')
    node.lose()
    node.answer('kept')
    await node.fenced()
    node.hear('2')
    node.pass(LEASE_MS)
    node.answer('kept')
    await node.fenced()
    node.hear('3')
    expect(node.dispatched).toEqual(['3'])
  })

  test('that was frozen does not believe an answer from before', () => {
    const node = create()
    node.answer('first')
    node.pass(10_000)
    node.answer('kept', { agoMs: 9_900 })
    node.hear('1')
    expect(node.dispatched).toEqual([])
    node.answer('held', { leftMs: 1_000 })
    expect(node.dispatched).toEqual([])
  })

  test('reports messages that waited for more than 5 s or 64 MiB, if they were its own', () => {
    for (const fate of ['kept', 'held'] as const) {
      const node = create()
      node.answer('first')
      node.pass(LEASE_MS)
      node.hear('old')
      node.pass(4_000)
      node.hear('large', 67_108_864)
      node.pass(2_000)
      node.hear('new')
      node.answer(fate)
      expect(node.dispatched).toEqual(fate === 'kept' ? ['new'] : [])
      expect(node.lost).toEqual(fate === 'kept' ? ['old', 'large'] : [])
    }
  })

  test('whose subscription ended dispatches again only after it has caught up', async () => {
    const node = create()
    node.answer('first')
    node.unsubscribed()
    node.pass(1)
    node.hear('1')
    node.answer('kept')
    node.hear('2')
    await node.fenced()
    node.hear('3')
    expect([node.dispatched, node.changes]).toEqual([['3'], [true, false, true]])
  })

  test('that loses the lease while it catches up does not dispatch', async () => {
    const node = create()
    node.answer('held', { leftMs: 0 })
    node.answer('taken')
    node.answer('held', { leftMs: 1_000 })
    await node.fenced()
    node.hear('1')
    node.pass(1_001)
    node.answer('taken')
    node.hear('2')
    await node.fenced()
    node.hear('3')
    expect(node.dispatched).toEqual(['3'])
  })
})

test('in 400 random schedules of freezes, cuts, kills, drains and lost data no message is dispatched twice, and a node takes over within 3 s', async () => {
  const faults: unknown[] = []
  let dispatched = 0
  for (let seed = 1; seed <= 400; seed++) {
    const run = await simulate(seed)
    dispatched += run.dispatched
    if (run.twice > 0 || !run.isAlive) faults.push({ seed, ...run })
  }
  expect(faults).toEqual([])
  expect(dispatched).toBeGreaterThan(100_000)
}, 60_000)
