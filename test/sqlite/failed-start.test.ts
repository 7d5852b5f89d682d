import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { storePlace } from '../support/store-file.ts'

test('a start that finds its port in use closes the store, and the next start opens the same file', async () => {
  await using place = await storePlace()
  await using holder = await startTestApp()
  const settings = { STORE_URL: place.url, QUEUE_ENABLED: 'true' }

  await expect(startTestApp({ ...settings, SERVER_PORT: String(holder.port) })).rejects.toThrow(
    'SERVER_PORT: expected a free port',
  )

  await using service = await startTestApp(settings)
  const { status } = await service.post('/api/v1/notifications/send', {
    target_user_id: 'ann',
    event_type: 'hello',
    payload: {},
  })
  expect(status).toBe(200)
})
