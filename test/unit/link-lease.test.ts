import { describe, expect, test } from 'bun:test'
import { createFences, type Way } from '../../src/bus/links/fences.ts'
import { areAlone, createLease, LEASE_MS, STRANGER_MS, strangersIn } from '../../src/bus/links/lease.ts'
import { createStoppedClock } from '../support/clock.ts'
import { createRandom } from '../support/random.ts'

describe('lease of a worker that is alone with its siblings', () => {
  test('ends LEASE_MS after the question, not after the answer', () => {
    const clock = createStoppedClock()
    const lease = createLease(clock)
    expect(lease.isHeld()).toBe(false)
    const askedAt = clock.monotonic()
    clock.jump(0.4)
    lease.renew(askedAt)
    clock.jump((LEASE_MS - 1) / 1000 - 0.4)
    expect(lease.isHeld()).toBe(true)
    clock.jump(0.001)
    expect(lease.isHeld()).toBe(false)
  })

  test('has ended for a process that was frozen, and an answer from before the freeze does not bring it back', () => {
    const clock = createStoppedClock()
    const lease = createLease(clock)
    const askedAt = clock.monotonic()
    lease.renew(askedAt)
    clock.jump(60)
    expect(lease.isHeld()).toBe(false)
    lease.renew(askedAt)
    expect(lease.isHeld()).toBe(false)
  })

  test('ends at once when the worker gives it up', () => {
    const clock = createStoppedClock()
    const lease = createLease(clock)
    lease.renew(clock.monotonic())
    lease.end()
    expect(lease.isHeld()).toBe(false)
  })

  test('is shorter than the time that an unknown node waits', () => {
    expect(STRANGER_MS).toBeGreaterThan(LEASE_MS)
  })

  test.each([
    ['this worker and its sibling are the only nodes', { all: 2, known: [1, 1] }, true],
    ['a worker without siblings is the only node', { all: 1, known: [1] }, true],
    ['another node is there', { all: 3, known: [1, 1] }, false],
    [
      'another node is there in the place of a sibling without subscriptions',
      { all: 2, known: [1, 0] },
      false,
    ],
    ['this worker has no subscriptions', { all: 1, known: [0, 1] }, false],
    ['a program subscribes to the topic of a sibling', { all: 2, known: [1, 2] }, false],
  ])('%s', (_, subscribers, expected) => {
    expect(areAlone(subscribers)).toBe(expected)
  })

  test.each([
    ['no worker holds a lease', { all: 0, known: [] }, 0],
    ['two workers of another service hold leases', { all: 2, known: [] }, 2],
    ['only this worker and its sibling do', { all: 2, known: [1, 1] }, 0],
    ['a stranger does while the sibling is away', { all: 2, known: [1, 0] }, 1],
  ])('a node that comes up counts strangers: %s', (_, subscribers, expected) => {
    expect(strangersIn(subscribers)).toBe(expected)
  })
})

describe('fences between the two ways of a message', () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

  test(`messages of each worker arrive in the order of its calls, whichever way is faster (SEED=${seed})`, () => {
    const random = createRandom(seed)
    for (let round = 0; round < 200; round++) {
      const fences = createFences()
      const origins = ['a', 'b', 'c'] as const
      const arrived = new Map<string, number[]>(origins.map(origin => [origin, []]))
      /** Redis is one stream for all; each origin has its link. */
      const streams = new Map<string, (() => void)[]>(['redis', ...origins].map(each => [each, []]))
      const ways = new Map<string, { way: Way; change: number; sent: number }>()
      for (const origin of origins) {
        fences.meet(origin)
        ways.set(origin, { way: 'redis', change: 0, sent: 0 })
      }
      const put = (way: Way, origin: string, arrive: () => void) =>
        streams.get(way === 'redis' ? 'redis' : origin)?.push(arrive)
      for (let step = 0; step < 200; step++) {
        const origin = random.pick(origins)
        const state = ways.get(origin)
        if (state === undefined) continue
        if (random.chance(0.1)) {
          const [old, next]: [Way, Way] = state.way === 'redis' ? ['redis', 'link'] : ['link', 'redis']
          const change = ++state.change
          put(old, origin, () => fences.left(old, origin, change))
          put(next, origin, () => fences.took(next, origin, change))
          state.way = next
        }
        const { way } = state
        const n = state.sent++
        put(way, origin, () =>
          fences.arrive(way, way === 'redis' ? '' : origin, () => arrived.get(origin)?.push(n)),
        )
        if (random.chance(0.6))
          random.pick([...streams.values()] as [(() => void)[], ...(() => void)[][]]).shift()?.()
      }
      while ([...streams.values()].some(({ length }) => length > 0))
        random.pick([...streams.values()] as [(() => void)[], ...(() => void)[][]]).shift()?.()
      for (const [origin, { sent }] of ways)
        expect(arrived.get(origin)).toEqual(Array.from({ length: sent }, (_, n) => n))
    }
  })

  test('a mark that is lost delays messages for half a second, and loses none', () => {
    const fences = createFences()
    const arrived: string[] = []
    fences.meet('a')
    fences.took('link', 'a', 1)
    fences.arrive('link', 'a', () => arrived.push('held'))
    for (let tick = 0; tick < 4; tick++) fences.tick()
    expect(arrived).toEqual([])
    fences.tick()
    expect(arrived).toEqual(['held'])
  })

  test('the end of a link releases what waits for it in Redis', () => {
    const fences = createFences()
    const arrived: string[] = []
    fences.meet('a')
    fences.took('redis', 'a', 1)
    fences.arrive('redis', '', () => arrived.push('held'))
    expect(arrived).toEqual([])
    fences.forget('a')
    expect(arrived).toEqual(['held'])
  })

  test('messages of a worker without a link wait for nothing', () => {
    const fences = createFences()
    const arrived: string[] = []
    fences.took('redis', 'stranger', 1)
    fences.arrive('redis', '', () => arrived.push('at once'))
    expect(arrived).toEqual(['at once'])
  })
})
