import { afterAll, describe, expect, test } from 'bun:test'
import { createClusterReach } from '../../src/dispatch/cluster/cluster-reach.ts'
import { createInterest } from '../../src/dispatch/cluster/interest.ts'
import { createDelivery } from '../../src/dispatch/delivery.ts'
import { createReceipts } from '../../src/dispatch/receipts.ts'
import { createSweep } from '../../src/dispatch/sweep.ts'
import { createMutants, MUTANTS } from '../unit/mutants.ts'
import { type NodeParts, type Order, playNodes, RIGHT_ORDER } from './schedule.ts'

const SCHEDULES = 10_200
const PARTS = 6
const real: NodeParts = {
  createDelivery,
  createReceipts,
  createSweep,
  createInterest,
  createClusterReach,
}

/** SCHEDULE_SEED=n plays that schedule only. */
const pinned = process.env['SCHEDULE_SEED']
const size = SCHEDULES / PARTS
const firsts =
  pinned === undefined ? Array.from({ length: PARTS }, (_, part) => 1 + part * size) : [Number(pinned)]

describe('in random schedules of nodes, lost hints, crashes, outages and older copies of the log', () => {
  test.each(firsts)(
    'no device loses, repeats or reorders an entry (from SCHEDULE_SEED=%d)',
    async first => {
      for (let seed = first; seed < first + (pinned === undefined ? size : 1); seed++)
        expect({ seed, faults: await playNodes(real, seed) }).toEqual({ seed, faults: [] })
    },
    180_000,
  )
})

describe('the check of nodes catches a mutant that', () => {
  const mutants = createMutants()
  afterAll(() => mutants.remove())

  for (const mutant of MUTANTS) {
    const { rule, nodesSeed: seed } = mutant
    if (seed === undefined) continue
    test(rule, async () => {
      expect(await playNodes(await mutants.load(mutant), seed)).not.toEqual([])
      expect(await playNodes(real, seed)).toEqual([])
    })
  }

  test.each<[rule: string, order: Partial<Order>, seed: number]>([
    ['reads the start of a connection before it has joined its topic', { joinsBeforeStart: false }, 12],
    ['(g) does not compare logs with connections after an outage of the bus', { audits: false }, 13],
    ['(g) compares before it has subscribed again', { subscribesBeforeAudit: false }, 50],
  ])('%s', async (_, order, seed) => {
    expect(await playNodes(real, seed, { ...RIGHT_ORDER, ...order })).not.toEqual([])
    expect(await playNodes(real, seed)).toEqual([])
  })
})
