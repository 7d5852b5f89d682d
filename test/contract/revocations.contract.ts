import { describe, expect, test } from 'bun:test'
import { userTopic } from '../../src/notification/topic.ts'
import type { Store, StoreLimits } from '../../src/store/store.ts'
import { fakeClock, LIMITS, noting, type OpenStore } from './store.contract.ts'

const ANN = userTopic('acme', 'ann')
const BOB = userTopic('acme', 'bob')
const ANN_OF_GLOBEX = userTopic('globex', 'ann')

/** Contract of revocations that every store keeps. `open` opens an empty store. */
export function revocationsContract(name: string, open: OpenStore): void {
  const start = async (limits: Partial<StoreLimits> = {}) => {
    const clock = fakeClock()
    const store = await open({ limits: { ...LIMITS, ...limits }, clock, observer: noting() })
    const { revocations } = store
    return { clock, revocations, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }

  describe(`${name}: revocations`, () => {
    /** Accepts an answer at once or a promise. */
    const before = async ({ revocations }: { readonly revocations: Store['revocations'] }, owner = ANN) =>
      revocations.before(owner)

    test('a revocation applies to one user, from the moment it is made', async () => {
      await using opened = await start()
      const { time } = opened.clock
      expect(await before(opened)).toBeUndefined()
      await opened.revocations.revoke(ANN, 5_000, time + 1_000)
      const all = [await before(opened), await before(opened, BOB), await before(opened, ANN_OF_GLOBEX)]
      expect(all).toEqual([5_000, undefined, undefined])
    })

    test('a revocation lasts up to and including its end', async () => {
      await using opened = await start()
      const { clock } = opened
      await opened.revocations.revoke(ANN, 5_000, clock.time + 1_000)
      clock.time += 1_000
      expect(await before(opened)).toBe(5_000)
      clock.time += 1
      expect(await before(opened)).toBeUndefined()
      await opened.revocations.revoke(ANN, 3_000, clock.time + 1_000)
      expect(await before(opened)).toBe(3_000)
    })

    test('of two revocations of one user the later times apply', async () => {
      await using opened = await start()
      const { clock, revocations } = opened
      await revocations.revoke(ANN, 5_000, clock.time + 1_000)
      await revocations.revoke(ANN, 3_000, clock.time + 2_000)
      await revocations.revoke(ANN, 4_000, clock.time + 500)
      clock.time += 2_000
      expect(await before(opened)).toBe(5_000)
      await revocations.revoke(ANN, 5_000.5, clock.time)
      expect(await before(opened)).toBe(5_000.5)
    })

    test('revocations are bounded per tenant, and none is dropped before its end to make room', async () => {
      await using opened = await start({ maxRevocations: 2 })
      const { clock, revocations } = opened
      const day = clock.time + 86_400_000
      const cy = userTopic('acme', 'cy')
      expect(await revocations.revoke(ANN, 1_000, day)).toBe('revoked')
      expect(await revocations.revoke(BOB, 2_000, clock.time + 60_000)).toBe('revoked')
      expect(await revocations.revoke(cy, 3_000, day)).toBe('full')
      expect(await revocations.revoke(ANN_OF_GLOBEX, 4_000, day)).toBe('revoked')
      // A user with a revocation needs no further place.
      expect(await revocations.revoke(ANN, 5_000, day)).toBe('revoked')
      expect(await Promise.all([ANN, BOB, cy].map(revocations.before))).toEqual([5_000, 2_000, undefined])
      clock.time += 60_001
      expect(await revocations.revoke(cy, 3_000, day)).toBe('revoked')
      expect(await revocations.revoke(BOB, 6_000, day)).toBe('full')
      const all = [ANN, BOB, cy, ANN_OF_GLOBEX].map(revocations.before)
      expect(await Promise.all(all)).toEqual([5_000, undefined, 3_000, 4_000])
    })

    test('a revocation can start at time 0', async () => {
      await using opened = await start()
      await opened.revocations.revoke(ANN, 0, opened.clock.time + 1_000)
      expect(await before(opened)).toBe(0)
    })
  })
}
