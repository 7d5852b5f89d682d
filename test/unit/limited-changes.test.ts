import { expect, test } from 'bun:test'
import { systemClock } from '../../src/lib/time/clock.ts'
import { tellOfBus } from '../../src/observe/bus-lines.ts'
import type { Logger } from '../../src/observe/log.ts'
import { eventually } from '../support/visit.ts'

test('the log of a bus that comes and goes ends with its present state, at most two lines a second', async () => {
  const lines: { readonly event: string; readonly at: number; readonly held_back?: number }[] = []
  const write = (fields: object, event: string) => lines.push({ ...fields, event, at: performance.now() })
  const { onState } = tellOfBus({ info: write, warn: write } as unknown as Logger, systemClock)
  onState({ type: 'connected' })
  for (let n = 0; n < 5; n++) {
    onState({ type: 'lost', reason: 'closed by Redis' })
    onState({ type: 'connected' })
  }
  expect(lines.map(({ event }) => event)).toEqual(['bus.connected', 'bus.lost'])
  await eventually(() => lines.length === 3)
  const [first, , last] = lines
  expect(last).toMatchObject({ event: 'bus.back', held_back: 8 })
  expect((last?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(995)
})
