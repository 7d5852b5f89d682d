import { expect, test } from 'bun:test'
import { meterStore } from '../../src/dispatch/observed/store-meter.ts'
import { createStats, type StoreOperation } from '../../src/observe/stats.ts'
import type { Store } from '../../src/store/store.ts'
import { createStoppedClock } from '../support/clock.ts'

const OPERATIONS: Readonly<Record<string, readonly [part: string, name: string][]>> = {
  append: [['log', 'append']],
  read: ['open', 'heads', 'count', 'read', 'list', 'report'].map(name => ['log', name]),
  ack: ['ack', 'ackThrough', 'redeliver'].map(name => ['acks', name]),
  template: ['create', 'get', 'list', 'update', 'delete'].map(name => ['templates', name]),
  idempotency: [['idempotency', 'reserve']],
}
/** Functions that no request waits for. */
const UNTIMED = [
  ['log', 'handed'],
  ['log', 'received'],
  ['log', 'totals'],
  ['idempotency', 'answer'],
  ['idempotency', 'release'],
  ['revocations', 'revoke'],
] as const

type Part = Record<string, (...given: unknown[]) => unknown>

/** A store whose functions return their arguments after a quarter of a second, or fail. */
function startMetered(fails: boolean) {
  const clock = createStoppedClock()
  const stats = createStats()
  const part = new Proxy<Part>(
    {},
    {
      get:
        () =>
        async (...given: unknown[]) => {
          clock.jump(0.25)
          if (fails) throw new Error('away')
          return given
        },
      ownKeys: () => ['handed', 'received', 'totals', 'answer', 'release'],
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    },
  )
  const parts = { log: part, acks: part, templates: part, idempotency: part, revocations: part }
  const store = { kind: 'memory', isUp: () => true, ...parts } as unknown as Store
  return { stats, store: meterStore(store, { clock, stats }) as unknown as Record<string, Part> }
}

for (const [operation, functions] of Object.entries(OPERATIONS))
  for (const [part, name] of functions)
    test(`${part}.${name} is timed as ${operation}, returns its answer, and counts a failure`, async () => {
      const well = startMetered(false)
      expect(await well.store[part]?.[name]?.('a', 2)).toEqual(['a', 2])
      const failing = startMetered(true)
      expect(failing.store[part]?.[name]?.('a')).rejects.toThrow('away')
      await new Promise(setImmediate)
      for (const [{ stats }, errors] of [
        [well, 0],
        [failing, 1],
      ] as const)
        for (const each of Object.keys(OPERATIONS) as StoreOperation[]) {
          const { count, sum } = stats.storeSeconds[each]
          const isIt = each === operation
          expect([each, count, stats.storeErrors[each]]).toEqual([each, Number(isIt), isIt ? errors : 0])
          expect(sum).toBeCloseTo(isIt ? 0.25 : 0, 6)
        }
    })

test('functions that no request waits for are not wrapped', async () => {
  const { stats, store } = startMetered(false)
  for (const [part, name] of UNTIMED) await store[part]?.[name]?.()
  expect(Object.values(stats.storeSeconds).reduce((sum, { count }) => sum + count, 0)).toBe(0)
})
