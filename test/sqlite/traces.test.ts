import { expect, test } from 'bun:test'
import { createTestClock } from '../support/clock.ts'
import { storePlace } from '../support/store-file.ts'
import { only, placeOf, tracesOf } from '../support/traced.ts'
import { send, socketOf } from '../support/visit.ts'

test('spans of replay and redelivery after a restart link to the send before it', async () => {
  await using place = await storePlace()
  const settings = {
    STORE_URL: place.url,
    QUEUE_ENABLED: 'true',
    ACK_ENABLED: 'true',
    ACK_TIMEOUT_SECONDS: '5',
  }
  const before = await tracesOf(app => send(app, 'u', 1), settings)
  const clock = createTestClock()
  const after = await tracesOf(
    async app => {
      using client = await socketOf(app, 'u')
      await client.next()
      clock.jump(6)
      expect(await client.next()).toMatchObject({ payload: 1, redelivered: 1 })
    },
    settings,
    { clock },
  )
  const sent = placeOf(only(before, 'dispatch'))
  expect(only(before, 'store.append').attributes).toEqual({ 'ara.store': 'sqlite', 'ara.entries': 1 })
  expect(only(after, 'store.read').attributes).toEqual({ 'ara.store': 'sqlite', 'ara.entries': 1 })
  expect(only(after, 'replay').links).toEqual([sent])
  expect(only(after, 'redelivery').links).toEqual([sent])
})
