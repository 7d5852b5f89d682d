import { expect, test } from 'bun:test'
import { join } from 'node:path'

const LIMIT = 700

test(`a kept notification of 200 bytes takes at most ${LIMIT} bytes of resident memory`, async () => {
  const script = join(import.meta.dir, '../support/kept-memory.ts')
  const child = Bun.spawn([process.execPath, script, String(LIMIT)], { stdout: 'pipe', timeout: 60_000 })
  const { each, text, messages } = await child.stdout.json()
  expect(messages).toBe(100_000)
  expect(text).toBeGreaterThan(400)
  expect(each).toBeLessThanOrEqual(LIMIT)
}, 60_000)
