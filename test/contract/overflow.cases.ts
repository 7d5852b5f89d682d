import type { Priority } from '../../src/protocol/values.ts'
import type { DeliveryState } from '../../src/store/store.ts'

/**
 * One row of the overflow rule (`StoreLimits.maxEntries` in src/store/store.ts): steps with one log of at most three
 * entries, and the result. Every store runs every row.
 */
export interface OverflowCase {
  /** Completes "evicts …". */
  readonly evicts: string
  readonly acknowledged?: boolean
  /** Priorities appended first, in one call; they get the seqs from 1. */
  readonly first: readonly Priority[]
  /** Seqs handed over to a socket. */
  readonly handed?: readonly number[]
  /** A device received everything up to this seq. */
  readonly received?: number
  /** Seqs acknowledged, in this order. */
  readonly acked?: readonly number[]
  /** Priorities appended afterwards, in one call. */
  readonly later: readonly Priority[]
  /** Seqs that stay in the log. */
  readonly left: number[]
  /** State of each evicted seq. */
  readonly gone: Readonly<Record<number, DeliveryState>>
  /** Seqs reported as lost: evicted while unsettled. */
  readonly unsettled: readonly number[]
  /** The highest evicted seq that no device had received. */
  readonly lostThrough: number
}

export const OVERFLOW_CASES: readonly OverflowCase[] = [
  {
    evicts: 'the oldest of equals',
    first: ['Normal', 'Normal', 'Normal'],
    later: ['Normal'],
    left: [2, 3, 4],
    gone: { 1: 'dropped' },
    unsettled: [1],
    lostThrough: 1,
  },
  {
    evicts: 'the lowest priority',
    first: ['Normal', 'High', 'Low'],
    later: ['Critical'],
    left: [1, 2, 4],
    gone: { 3: 'dropped' },
    unsettled: [3],
    lostThrough: 3,
  },
  {
    evicts: 'of the lowest priority the oldest',
    first: ['High', 'Low', 'Low'],
    later: ['Low', 'High'],
    left: [1, 4, 5],
    gone: { 2: 'dropped', 3: 'dropped' },
    unsettled: [2, 3],
    lostThrough: 3,
  },
  {
    evicts: 'the new entry when all others are unsettled and higher',
    first: ['High', 'Normal', 'High'],
    later: ['Low'],
    left: [1, 2, 3],
    gone: { 4: 'dropped' },
    unsettled: [4],
    lostThrough: 4,
  },
  {
    evicts: 'a lower entry rather than an unsettled Critical',
    first: ['Critical', 'High', 'Critical'],
    later: ['Critical'],
    left: [1, 3, 4],
    gone: { 2: 'dropped' },
    unsettled: [2],
    lostThrough: 2,
  },
  {
    evicts: 'the oldest Critical when all are unsettled and Critical',
    first: ['Critical', 'Critical', 'Critical'],
    later: ['Critical'],
    left: [2, 3, 4],
    gone: { 1: 'dropped' },
    unsettled: [1],
    lostThrough: 1,
  },
  {
    evicts: 'received entries first, oldest first',
    first: ['High', 'Normal', 'Low'],
    received: 2,
    later: ['Low', 'Low'],
    left: [3, 4, 5],
    gone: { 1: 'received', 2: 'received' },
    unsettled: [],
    lostThrough: 0,
  },
  {
    evicts: 'a received Critical before an unsettled Low',
    first: ['Critical', 'High', 'Low'],
    received: 1,
    later: ['Low'],
    left: [2, 3, 4],
    gone: { 1: 'received' },
    unsettled: [],
    lostThrough: 0,
  },
  {
    evicts: 'the oldest received entry, Critical or not, before a younger received Low',
    first: ['Critical', 'Low', 'High'],
    received: 3,
    later: ['Critical', 'Critical'],
    left: [3, 4, 5],
    gone: { 1: 'received', 2: 'received' },
    unsettled: [],
    lostThrough: 0,
  },
  {
    evicts: 'the lowest unsettled priority once no received entry is left',
    first: ['High', 'High', 'Low'],
    received: 1,
    later: ['Low', 'Low'],
    left: [2, 4, 5],
    gone: { 1: 'received', 3: 'dropped' },
    unsettled: [3],
    lostThrough: 3,
  },
  {
    evicts: 'an entry that was handed over and not received as an unsettled one, in state sent',
    first: ['Low', 'High', 'High'],
    handed: [1, 2],
    later: ['High', 'High'],
    left: [3, 4, 5],
    gone: { 1: 'sent', 2: 'sent' },
    unsettled: [1, 2],
    lostThrough: 2,
  },
  {
    evicts: 'acknowledged entries first, oldest first, whatever their priority',
    acknowledged: true,
    first: ['Critical', 'Low', 'High'],
    acked: [3, 1],
    later: ['Low', 'Low'],
    left: [2, 4, 5],
    gone: { 1: 'acked', 3: 'acked' },
    unsettled: [],
    lostThrough: 0,
  },
  {
    evicts: 'the lowest unsettled priority once no acknowledged entry is left',
    acknowledged: true,
    first: ['High', 'Normal', 'Low'],
    acked: [1],
    later: ['High', 'High'],
    left: [2, 4, 5],
    gone: { 1: 'acked', 3: 'dropped' },
    unsettled: [3],
    lostThrough: 3,
  },
  {
    evicts: 'a received entry as an unsettled one while its acknowledgement is due',
    acknowledged: true,
    first: ['High', 'Low', 'Critical'],
    handed: [1, 2],
    received: 3,
    later: ['Normal', 'Critical'],
    left: [1, 3, 5],
    gone: { 2: 'dropped', 4: 'dropped' },
    unsettled: [2, 4],
    lostThrough: 4,
  },
  {
    evicts: 'a lower entry rather than a Critical whose acknowledgement is due',
    acknowledged: true,
    first: ['Critical', 'High', 'Critical'],
    received: 3,
    later: ['Critical'],
    left: [1, 3, 4],
    gone: { 2: 'dropped' },
    unsettled: [2],
    lostThrough: 0,
  },
]
