import { expect, test } from 'bun:test'
import type { Outcome } from '../../src/dispatch/dispatcher.ts'
import { counted } from '../../src/dispatch/observed/counted.ts'
import { AppError } from '../../src/errors.ts'
import type { Envelope, Target } from '../../src/notification/target.ts'
import { createStats } from '../../src/observe/stats.ts'

const OUTCOME: Outcome = { notificationId: 'n', deliveredTo: 3, failed: 2, queued: 1, status: 'partial' }
const NONE = { user: 0, users: 0, broadcast: 0, channel: 0, channels: 0 }

const envelope = (target: Target, tenant = 'acme'): Envelope => ({
  tenant,
  target,
  notification: {
    id: 'n',
    occurredAt: 0,
    eventType: 'e',
    payload: '1',
    source: 'http-api',
    priority: 'Normal',
  },
})

const TARGETS: readonly Target[] = [
  { type: 'user', user: 'u' },
  { type: 'users', users: ['u', 'v', 'w'] },
  { type: 'broadcast' },
  { type: 'channel', channel: 'c' },
  { type: 'channels', channels: ['c', 'd'] },
]

for (const target of TARGETS)
  test(`a send to ${target.type} counts once, in its tenant; its frames are counted where they are written`, async () => {
    const stats = createStats()
    const dispatch = counted(async () => OUTCOME, stats)
    expect(await dispatch(envelope(target))).toBe(OUTCOME)
    expect(stats.tally.find('acme')).toEqual({
      sent: { ...NONE, [target.type]: 1 },
      delivered: 0,
      failed: 0,
      opened: 0,
      acks: { tracked: 0, acked: 0, expired: 0, latencyMs: 0 },
    })
    expect(stats.tally.tenants.after(undefined, 9)).toEqual(['acme'])
    expect(stats.queueEnqueued).toBe(OUTCOME.queued)
  })

test('queued sends and sends without a recipient count as sent', async () => {
  const stats = createStats()
  for (const status of ['delivered', 'partial', 'queued', 'no_recipient'] as const)
    await counted(async () => ({ ...OUTCOME, status }), stats)(envelope({ type: 'broadcast' }))
  expect(stats.tally.find('acme').sent.broadcast).toBe(4)
})

test('an expired send does not count', async () => {
  const stats = createStats()
  const dispatch = counted(async () => ({ ...OUTCOME, deliveredTo: 0, failed: 0, status: 'expired' }), stats)
  await dispatch(envelope({ type: 'broadcast' }))
  expect(stats.tally.has('acme')).toBe(false)
})

test('a rejected send does not count, and the error passes through', async () => {
  const stats = createStats()
  const refusal = new AppError('STORE_UNAVAILABLE')
  const dispatch = counted(() => Promise.reject(refusal), stats)
  expect(dispatch(envelope({ type: 'user', user: 'u' }))).rejects.toBe(refusal)
  await Promise.resolve()
  expect(stats.tally.has('acme')).toBe(false)
})
