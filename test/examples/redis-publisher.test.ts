import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { API_KEY, SECRET } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { spawnExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'
import { startRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'

const TEST_MS = 60_000
const FOLDER = join(import.meta.dir, '../../examples/redis-publisher')
const node = Bun.which('node') ?? process.execPath

test(
  'orders in the stream arrive once, also those from before the start; messages to the channel reach who listens',
  async () => {
    await using redis = await startRedis()
    const publish = async (command: readonly string[]) => {
      const child = Bun.spawn([...command], {
        cwd: FOLDER,
        env: { PATH: process.env['PATH'] ?? '', REDIS_URL: redis.url },
        stdout: 'ignore',
        stderr: 'pipe',
      })
      const [stderr, code] = await Promise.all([child.stderr.text(), child.exited])
      return { code, stderr: stderr.trim() }
    }
    const lost = { code: 0, stderr: 'no service listens: the message is lost' }
    const sent = { code: 0, stderr: '' }
    expect(await publish(['sh', 'publish.sh', 'alice', '1'])).toEqual(lost)
    expect(await publish([node, 'publish.mjs', 'alice', '2'])).toEqual(lost)

    const port = await freePort()
    await using example = spawnExample('redis-publisher', {
      SERVER_PORT: String(port),
      REDIS_URL: redis.url,
      API_KEY,
      JWT_SECRET: SECRET,
    })
    const ask = async (path: string): Promise<Message> =>
      (
        await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'x-api-key': API_KEY } }).catch(
          () => undefined,
        )
      )?.json()
    await eventually(async () => (await ask('/api/v1/channels/lobby'))?.subscriber_count === 1, 30_000)
    await eventually(async () => (await ask('/health')).redis.connected)
    expect(await publish(['sh', 'publish.sh', 'alice', '3'])).toEqual(sent)
    expect(await publish([node, 'publish.mjs', 'alice', '4'])).toEqual(sent)
    // A repeat has the same key.
    expect(await publish(['sh', 'publish.sh', 'alice', '3'])).toEqual(sent)
    expect(await publish([node, 'publish.mjs', 'alice', '5'])).toEqual(sent)

    const found = (pattern: RegExp) => [...example.output.matchAll(pattern)].map(([, order]) => Number(order))
    const orders = () => found(/order\.shipped.*"order": ?"(\d+)"/g)
    await example.until(() => orders().includes(5))
    expect(orders()).toEqual([1, 2, 3, 4, 5])
    expect(found(/room\.message.*"order (\d+) is packed"/g)).toEqual([3, 4, 3, 5])
    expect((await publish(['sh', 'publish.sh', 'a"b', '6'])).code).toBe(2)
  },
  TEST_MS,
)
