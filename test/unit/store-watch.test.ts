import { expect, test } from 'bun:test'
import { watchStore } from '../../src/dispatch/observed/store-watch.ts'
import { StoreAway } from '../../src/errors.ts'
import { createStoppedClock } from '../support/clock.ts'

/** A watched store that the test switches between up and down. */
function watched(up = true) {
  const clock = createStoppedClock()
  const state = { up }
  const told: unknown[] = []
  const say = (level: string) => (fields: object, event: string) => told.push({ level, event, ...fields })
  const watch = watchStore({
    store: { kind: 'redis', isUp: () => state.up },
    clock,
    onFault: err => told.push({ err }),
    logger: { error: say('error'), warn: say('warn'), info: say('info'), debug: say('debug') },
  })
  return { clock, state, told, watch }
}

test('faults of a store that is up are logged; an outage is logged once, and so is its end', () => {
  const { clock, state, told, watch } = watched()
  const [err, another] = [new StoreAway('one'), new StoreAway('another')]
  watch.failed(err)
  expect(told).toEqual([{ level: 'warn', event: 'store.unavailable', store: 'redis', err }])
  state.up = false
  for (let n = 0; n < 5; n++) watch.failed(another)
  expect(told.slice(1)).toEqual([{ level: 'warn', event: 'store.lost', store: 'redis', err: another }])
  clock.jump(7)
  state.up = true
  watch.failed(err)
  expect(told.slice(2)).toEqual([
    { level: 'info', event: 'store.recovered', store: 'redis', seconds: 7 },
    { level: 'warn', event: 'store.unavailable', store: 'redis', err },
  ])
  watch[Symbol.dispose]()
})

test('a store that connects within 2 s of the start was never lost; one that does not is', () => {
  for (const connectsAfter of [1, 3]) {
    const { clock, state, told, watch } = watched(false)
    const err = new StoreAway('no')
    watch.failed(err)
    clock.jump(connectsAfter)
    if (connectsAfter > 2) watch.failed(err)
    state.up = true
    watch.failed(err)
    const events = told.map(line => (line as { readonly event: string }).event)
    const lost = connectsAfter > 2 ? ['store.lost', 'store.recovered'] : []
    expect(events.filter(event => event !== 'store.unavailable')).toEqual(lost)
    watch[Symbol.dispose]()
  }
})

test('a fault of our own code is not an outage and is not retried', async () => {
  const { told, watch } = watched()
  const err = new TypeError('undefined is not an object')
  expect(await watch.retry(err)).toBe(false)
  watch.failed(err)
  expect(told).toEqual([{ err }, { err }])
  expect(await watch.retry(new StoreAway('no'))).toBe(true)
  watch[Symbol.dispose]()
})

test('faults of a store that is up write at most two lines a second', () => {
  const { clock, told, watch } = watched()
  for (let n = 0; n < 10; n++) watch.failed(new StoreAway('no'))
  expect(told).toHaveLength(2)
  clock.jump(1)
  watch.failed(new StoreAway('no'))
  expect(told[2]).toMatchObject({ held_back: 8 })
  watch[Symbol.dispose]()
})
