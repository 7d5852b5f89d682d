import { expect, test } from 'bun:test'
import { createTally, sentOf } from '../../src/observe/tally.ts'

test('the total is the sum over all tenants, including those without their own record', () => {
  const tally = createTally(2)
  for (const [n, tenant] of ['a', 'b', 'c', 'd', 'a'].entries()) {
    const record = tally.of(tenant)
    record.sent.user += 1
    record.sent.channels += 10
    record.failed += 100
    record.opened += 1_000
    record.acks.tracked += 3
    record.acks.latencyMs += n
    tally.delivered(tenant, n)
  }
  expect(tally.tenants.after(undefined, 9)).toEqual(['a', 'b'])
  expect(tally.find('a')).toEqual({
    sent: { user: 2, users: 0, broadcast: 0, channel: 0, channels: 20 },
    delivered: 4,
    failed: 200,
    opened: 2_000,
    acks: { tracked: 6, acked: 0, expired: 0, latencyMs: 4 },
  })
  expect(tally.total()).toEqual({
    sent: { user: 5, users: 0, broadcast: 0, channel: 0, channels: 50 },
    delivered: 10,
    failed: 500,
    opened: 5_000,
    acks: { tracked: 15, acked: 0, expired: 0, latencyMs: 10 },
  })
  expect(sentOf(tally.total())).toBe(55)
})

test('a tenant without a record has no counters, and a look-up creates no record', () => {
  const tally = createTally(1)
  tally.of('a').opened++
  tally.of('b').opened++
  for (const tenant of ['b', 'c']) {
    expect(tally.has(tenant)).toBe(false)
    expect(tally.find(tenant)).toMatchObject({ opened: 0, delivered: 0, failed: 0 })
  }
  expect(tally.tenants.after(undefined, 9)).toEqual(['a'])
  expect(tally.total().opened).toBe(2)
})

test('a hundred thousand tenants have a record of their own', () => {
  const tally = createTally()
  for (let n = 0; n < 100_001; n++) tally.of(`t${n}`).opened++
  expect([tally.has('t99999'), tally.has('t100000')]).toEqual([true, false])
  expect(tally.total().opened).toBe(100_001)
})
