import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { SECRET } from '../support/app.ts'
import { createInbox } from '../support/inbox.ts'

const ROOT = join(import.meta.dir, '../..')

test('an unhandled rejection is logged and counted, and the process keeps serving', async () => {
  await using service = Bun.spawn([process.execPath, '--preload', './test/support/fault.ts', 'src/main.ts'], {
    cwd: ROOT,
    env: {
      ...process.env,
      SERVER_PORT: '0',
      SERVER_HOST: '127.0.0.1',
      LOG_FORMAT: 'json',
      JWT_SECRET: SECRET,
      REDIS_URL: '',
    },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const lines = createInbox<Record<string, unknown>>()
  const read = async () => {
    let text = ''
    for await (const chunk of service.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (text + chunk).split('\n')
      text = parts.pop() ?? ''
      for (const part of parts) lines.push(JSON.parse(part))
    }
    lines.end()
  }
  void read()

  const { port } = await lines.until(({ event }) => event === 'started')
  service.kill('SIGUSR2')
  const faults = [
    await lines.until(({ event }) => event === 'fault.unhandled'),
    await lines.until(({ event }) => event === 'fault.unhandled'),
  ]

  expect(faults.map(({ level, total }) => [level, total])).toEqual([
    ['error', 1],
    ['error', 2],
  ])
  expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200)
  service.kill('SIGTERM')
  expect(await service.exited).toBe(0)
})
