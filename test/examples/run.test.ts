import { expect, test } from 'bun:test'
import type { Message } from '../support/client.ts'
import { startExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'

const TEST_MS = 60_000

test(
  'an example without a service starts one, which ends with it',
  async () => {
    const port = await freePort()
    const service = `http://127.0.0.1:${port}`
    const example = await startExample('python', { SERVER_PORT: String(port) })
    try {
      const token = await (await fetch(`${example.url}/token`)).text()
      expect((await fetch(`${example.url}/ship?order=7`, { method: 'POST' })).status).toBe(200)
      const headers = { authorization: `Bearer ${token}` }
      const log = await fetch(`${service}/api/v1/me/notifications`, { headers })
      const { notifications }: Message = await log.json()
      expect(notifications.map(({ payload }: { payload: unknown }) => payload)).toEqual([{ order: 7 }])
    } finally {
      await example[Symbol.asyncDispose]()
    }
    await expect(fetch(service)).rejects.toThrow()
    await expect(fetch(example.url)).rejects.toThrow()
  },
  TEST_MS,
)

test('an unknown example is refused with the names of all', async () => {
  await expect(startExample('nowhere', {})).rejects.toThrow(
    /nowhere ended with 2: Usage: bun run example browser\|/,
  )
})

test('an example whose program is missing says so and starts nothing', async () => {
  await expect(startExample('go', { PATH: '/nowhere' })).rejects.toThrow(
    'go ended with 1: The example go needs go: install it, then try again.',
  )
})
