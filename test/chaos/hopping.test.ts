import { describe, expect, test } from 'bun:test'
import { createRandom } from '../support/random.ts'
import { type Cut, countFaults, hop, type ReadNotification, type Run, slowStore } from './hopping.ts'

const NONE = { lost: 0, phantom: 0, duplicates: 0, inversions: 0, disordered: 0 }
const NONE_AT_ALL = { ...NONE, refused: 0, unrecovered: 0, stalled: 0, ghosts: 0 }

const TIMEOUT_MS = 120_000
const NOTIFICATIONS = 2_000
/** Together these seeds use every kind of device, alone and combined. HOP_SEED=n runs that seed only. */
const SEEDS = [1, 2, 3, 4, 5, 7, 8, 9, 10, 12]
const SLOW_SEEDS = [2, 4, 7]
const pinned = process.env['HOP_SEED']
const seedsOf = (seeds: readonly number[]) => (pinned === undefined ? seeds : [Number(pinned)])

describe('a user hops from connection to connection while thousands are sent', () => {
  const runs: Run[] = []

  test.each(seedsOf(SEEDS))(
    'and no device misses a notification (HOP_SEED=%d)',
    async seed => {
      const run = await hop({ seed, notifications: NOTIFICATIONS })
      runs.push(run)
      expect(run.faults).toEqual(NONE_AT_ALL)
      expect(run.notifications).toBeGreaterThanOrEqual(NOTIFICATIONS)
    },
    TIMEOUT_MS,
  )

  test.each(seedsOf(SLOW_SEEDS))(
    'and no device misses a notification if the store answers late and out of order (HOP_SEED=%d)',
    async seed => {
      const run = await hop({ seed, notifications: 800, wrapStore: slowStore(createRandom(seed)) })
      expect(run.faults).toEqual(NONE_AT_ALL)
    },
    TIMEOUT_MS,
  )

  test.if(pinned === undefined)('and the runs cover every kind of device and of cut', () => {
    const count = (cut: Cut): number => runs.reduce((sum, { cuts }) => sum + cuts[cut], 0)
    const cuts = (
      ['closed', 'reset', 'stuckThenResumed', 'stuckThenReset', 'dawdled', 'abandoned'] as const
    ).filter(cut => count(cut) < 10)
    const kinds = new Set(runs.flatMap(run => run.kinds))
    expect({ tooFew: cuts, kinds: [...kinds].sort() }).toEqual({ tooFew: [], kinds: ['sse', 'v1', 'ws'] })
  })
})

describe('the count of faults', () => {
  const sent = [1, 2, 3, 4].map(seq => ({ id: `id${seq}`, sender: seq % 2, n: seq }))
  let at = 0
  const read = (seq: number, other: Partial<ReadNotification> = {}): ReadNotification => ({
    id: `id${seq}`,
    sender: seq % 2,
    n: seq,
    seq,
    intact: true,
    at: at++,
    ...other,
  })
  const visit = (
    device: number,
    after: number | undefined,
    reads: readonly ReadNotification[],
    strange = 0,
  ) => ({
    device,
    after,
    reads: [...reads],
    strange,
  })

  test('is zero when each device reads everything, over any number of connections', () => {
    const visits = [
      visit(0, 0, [read(1), read(2)]),
      visit(0, 1, [read(2), read(3)]),
      visit(0, 3, []),
      visit(1, undefined, [read(3), read(4)]),
      visit(0, 3, [read(4)]),
    ]
    expect(countFaults(sent, visits)).toEqual(NONE)
  })

  const all = () => [1, 2, 3, 4].map(seq => read(seq))

  test('includes a notification that a resuming device never read, whatever other devices read', () => {
    const visits = [visit(0, 0, [read(1), read(2), read(3)]), visit(1, 0, all())]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, lost: 1 })
  })

  test('includes a device that never read anything', () => {
    expect(countFaults(sent, [visit(0, 0, [])])).toEqual({ ...NONE, lost: 4 })
  })

  test('includes a notification that no device without cursor read', () => {
    const visits = [visit(0, undefined, [read(1), read(2)]), visit(1, undefined, [read(3)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, lost: 1 })
  })

  test('includes a connection without cursor that starts after an unread notification', () => {
    const later = visit(1, undefined, [read(4)])
    expect(countFaults(sent, [visit(0, 0, all()), later])).toEqual({ ...NONE, lost: 3 })
  })

  test.each([
    ['of an unknown notification', { id: 'id9' }],
    ['of another sender', { sender: 9 }],
    ['of another number', { n: 9 }],
    ['with another payload', { intact: false }],
    ['that has another seq for another device', { id: 'id3', sender: 1, n: 3 }],
  ])('includes a read %s', (_, other) => {
    const visits = [visit(0, 0, all()), visit(0, 3, [read(4, other)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, phantom: 1 })
  })

  test('includes a read beyond the accepted notifications', () => {
    const visits = [visit(0, 0, [...all(), read(5)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, phantom: 1 })
  })

  test('does not mistake a phantom for the notification in its place', () => {
    const visits = [visit(0, 0, [read(1), read(2), read(3), read(4, { intact: false })])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, lost: 1, phantom: 1 })
  })

  test('includes an unexpected message', () => {
    expect(countFaults(sent, [visit(0, 0, all(), 1)])).toEqual({ ...NONE, phantom: 1 })
  })

  test('includes a repeat on one connection', () => {
    const visits = [visit(0, 0, [read(1), read(2), read(2), read(3), read(1), read(4)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, duplicates: 2 })
  })

  test('includes a gap, even if another connection fills it', () => {
    const visits = [visit(0, 0, [read(1), read(2), read(4)]), visit(0, 2, [read(3), read(4)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, inversions: 1 })
  })

  test('includes a start at another seq than the client presented', () => {
    const visits = [visit(0, 0, all()), visit(0, 2, [read(4)]), visit(0, 2, [read(2), read(3), read(4)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, inversions: 2 })
  })

  test('includes two notifications in swapped order', () => {
    const visits = [visit(0, 0, [read(1), read(3), read(2), read(4)])]
    expect(countFaults(sent, visits)).toEqual({ ...NONE, inversions: 3 })
  })

  test('includes a later send of one sender before its earlier one', () => {
    const [first, second, third, fourth] = all()
    const swapped = [
      { ...third, seq: 1 },
      { ...second, seq: 2 },
      { ...first, seq: 3 },
      { ...fourth, seq: 4 },
    ] as ReadNotification[]
    expect(countFaults(sent, [visit(0, 0, swapped)])).toEqual({ ...NONE, disordered: 1 })
  })
})
