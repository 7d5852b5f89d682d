import { afterAll, describe, expect, test } from 'bun:test'
import { createDelivery } from '../../src/dispatch/delivery.ts'
import { createReceipts } from '../../src/dispatch/receipts.ts'
import { createSweep } from '../../src/dispatch/sweep.ts'
import { createMutants, MUTANTS } from './mutants.ts'
import { type Parts, play } from './schedule.ts'

const SCHEDULES = 12_000
const PARTS = 6
const real: Parts = { createDelivery, createReceipts, createSweep }

describe('in random schedules of answers, hints, cuts and epochs of the log', () => {
  const first = Number(process.env['SCHEDULE_SEED'] ?? 1)
  for (let part = 0; part < PARTS; part++)
    test(`delivery keeps its promises (${part + 1} of ${PARTS})`, async () => {
      const size = process.env['SCHEDULE_SEED'] === undefined ? SCHEDULES / PARTS : 1
      for (let seed = first + part * size; seed < first + (part + 1) * size; seed++)
        expect({ seed, faults: await play(real, seed) }).toEqual({ seed, faults: [] })
    }, 60_000)
})

describe('the check catches a mutant that', () => {
  const mutants = createMutants()
  afterAll(() => mutants.remove())

  for (const mutant of MUTANTS) {
    const { rule, seed } = mutant
    if (seed === undefined) continue
    test(rule, async () => {
      expect(await play(await mutants.load(mutant), seed)).not.toEqual([])
      expect(await play(real, seed)).toEqual([])
    }, 60_000)
  }
})
