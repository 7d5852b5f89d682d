import { describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Message } from '../support/client.ts'
import { spawnExample, startExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'

const TEST_MS = 60_000

test(
  'an example starts a service, which ends with it',
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

test.each([
  ['go', 'The example go needs go. On Debian and Ubuntu type "apt-get install -y golang-go".'],
  [
    'cluster',
    'The example cluster needs redis-server and haproxy. On Debian and Ubuntu type "apt-get install -y redis-server haproxy".',
  ],
  [
    'redis-publisher',
    'The example redis-publisher needs redis-server. On Debian and Ubuntu type "apt-get install -y redis-server".',
  ],
])('the example %s says which programs are missing, and starts nothing', async (name, text) => {
  await expect(startExample(name, { PATH: '/nowhere' })).rejects.toThrow(`${name} ended with 1: ${text}`)
})

describe('a port that is in use', () => {
  const take = () => Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } })

  test('for the example: it says how to choose another one, and starts nothing', async () => {
    using other = take()
    const port = String(other.port)
    const settings = { SERVER_PORT: String(await freePort()) }
    await expect(startExample('node', { ...settings, PORT: port })).rejects.toThrow(
      `node ended with 1: PORT: expected a free port, ${port} is in use. Choose another one: PORT=… bun run example node\n`,
    )
    await expect(startExample('react', { ...settings, BACKEND_PORT: port })).rejects.toThrow(
      `BACKEND_PORT: expected a free port, ${port} is in use.`,
    )
  })

  test('for the service: it says how to use the service there', async () => {
    using other = take()
    await expect(startExample('python', { SERVER_PORT: String(other.port) })).rejects.toThrow(
      `python ended with 1: SERVER_PORT: expected a free port, ${other.port} is in use. Choose another one: SERVER_PORT=… bun run example python, or use the service there: ARA_URL=http://localhost:${other.port} JWT_SECRET=… bun run example python\n`,
    )
  })
})

test(
  'an example ends when its service ends',
  async () => {
    await using example = await startExample('python', { SERVER_PORT: String(await freePort()) })
    const [, pid] = /^service: .*, pid (\d+)$/m.exec(example.output) ?? []
    process.kill(Number(pid), 'SIGKILL')
    expect(await example.ended).toBe(137)
    await expect(fetch(example.url)).rejects.toThrow()
  },
  TEST_MS,
)

test(
  'an example ends although its service hangs',
  async () => {
    await using example = await startExample('python', { SERVER_PORT: String(await freePort()) })
    const [, pid] = /^service: .*, pid (\d+)$/m.exec(example.output) ?? []
    process.kill(Number(pid), 'SIGSTOP')
    example.signal('SIGINT')
    expect(await example.ended).toBe(0)
    expect(() => process.kill(Number(pid), 0)).toThrow()
  },
  TEST_MS,
)

// Not installed for the tests: Debian's package takes 450 MB.
const GO = Bun.which('go') === null ? [] : [['go', 'SIGTERM', /backend: /] as const]

test.each([['cluster', 'SIGINT', /received 1\n/], ['python', 'SIGHUP', /backend: /], ...GO] as const)(
  'the example %s ends on %s with all its programs, and leaves no temporary files',
  async (name, signal, started) => {
    const folder = await mkdtemp(join(tmpdir(), 'example-'))
    await using example = spawnExample(name, {
      SERVER_PORT: String(await freePort()),
      PORT: String(await freePort()),
      TMPDIR: folder,
    })
    await example.until(output => started.test(output))
    const pids = [...example.output.matchAll(/[:,] pid (\d+)$/gm)].map(([, pid]) => Number(pid))
    // `npx` repeats the signal that the terminal sends to both.
    for (let n = 0; n < 2; n++) example.signal(signal)
    expect(await example.ended).toBe(0)
    expect(pids.length).toBeGreaterThan(0)
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow()
    expect(await readdir(folder)).toEqual([])
    await rm(folder, { recursive: true })
  },
  TEST_MS,
)
