import { Database } from 'bun:sqlite'
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { open, truncate } from 'node:fs/promises'
import { checkStoreFile } from '../../src/cli/doctor/store-file.ts'
import { startAlteredLine } from '../support/altered-line.ts'
import { runCli } from '../support/cli.ts'
import { faults } from '../support/doctor.ts'
import { startRedis } from '../support/redis.ts'
import { startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

type Env = Readonly<Record<string, string>>

const LOG_ON = { QUEUE_ENABLED: 'true' }
const MIB = 1024 * 1024

test('a Redis before 6.2 serves as no store', async () => {
  await using redis = await startRedis('--appendonly', 'yes')
  // The answer keeps its length.
  const older = (text: string) =>
    text.replace(/redis_version:(\d+)[.\d]*/, all => 'redis_version:6.0.'.padEnd(all.length, '9'))
  await using line = await startAlteredLine(redis.port, older)
  const { code, lines } = await faults({ ...LOG_ON, STORE_URL: `redis://127.0.0.1:${line.port}` })
  expect({ code, lines }).toEqual({
    code: 1,
    lines: [expect.stringMatching(/^fail {2}redis .*6\.2.* To do: see "Redis"/)],
  })
})

describe('permissions that are missing', () => {
  test.each([
    ['bus', ['-publish'], { BUS_URL: 'redis:' }, 'The bus'],
    ['bus', ['-pubsub'], { BUS_URL: 'redis:' }, 'The bus'],
    ['trigger', ['-psubscribe'], {}, 'Redis'],
  ])('for the %s: %j', async (use, missing, env, chapter) => {
    await using redis = await startRedis('--appendonly', 'yes')
    await redis.client().call('ACL', 'SETUSER', 'weak', 'on', '>pass', '~*', '&*', '+@all', ...missing)
    const url = redis.url.replace('redis://', 'redis://weak:pass@')
    const { code, lines } = await faults({ ...LOG_ON, REDIS_URL: url, STORE_URL: 'redis:', ...env })
    expect({ code, lines }).toEqual({
      code: 1,
      lines: [
        expect.stringMatching(
          new RegExp(
            `^fail {2}permissions {3}${use}: .*(?:permission|can't run).* To do: .*"${chapter}"`,
            'i',
          ),
        ),
      ],
    })
  })
})

describe('a store file', () => {
  test('with a damaged page', async () => {
    await using place = await storePlace()
    const env = { ...LOG_ON, STORE_URL: place.url, DRAIN_SECONDS: '0' }
    const service = await startService(env)
    for (let n = 0; n < 50; n++) await service.send('ann', 'x'.repeat(1_000))
    service.signal('SIGTERM')
    await service.ended
    using db = new Database(place.path)
    db.run('PRAGMA wal_checkpoint(TRUNCATE)')
    const { rootpage } = db
      .query<{ rootpage: number }, []>(
        "SELECT max(rootpage) AS rootpage FROM sqlite_schema WHERE type = 'index'",
      )
      .get() ?? { rootpage: 2 }
    const { page_size } = db.query<{ page_size: number }, []>('PRAGMA page_size').get() ?? { page_size: 4096 }
    db.close()
    const file = await open(place.path, 'r+')
    await file.write(Buffer.alloc(page_size, 0xff), 0, page_size, (rootpage - 1) * page_size)
    await file.close()
    const { code, lines } = await faults(env)
    expect({ code, lines }).toEqual({
      code: 1,
      lines: [expect.stringMatching(/^fail {2}store file .* To do: move the file away, then restore/)],
    })
  }, 20_000)

  test('that is too large to be checked for damage', async () => {
    await using place = await storePlace()
    const env = { ...LOG_ON, STORE_URL: place.url, DRAIN_SECONDS: '0' }
    {
      await using service = await startService(env)
      await service.send('ann', 1)
    }
    await truncate(place.path, 257 * MIB)
    const { stdout, code } = await runCli(['doctor'], { env })
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        /^ok {4}store file {4}\S+ is too large to be checked for damage, no process has it open$/m,
      ),
    })
  })

  test.each([
    [300, 'ok'],
    [100, 'warn'],
    [10, 'fail'],
  ])('on a volume with %d MiB free: %s', async (free, status) => {
    await using place = await storePlace()
    const findings = checkStoreFile(
      { storeUrl: { kind: 'sqlite', path: place.path } },
      true,
      () => free * MIB,
    )
    expect(findings.at(-1)).toMatchObject({ status, message: `${free} MiB free` })
  })
})

test('nodes that are silent', async () => {
  await using service = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: request => {
      const { pathname } = new URL(request.url)
      if (pathname !== '/api/v1/cluster') return Response.json({ version: '1', node: 'a' })
      return Response.json({ node: 'a', nodes: [{ id: 'a' }], total: 1, partial: true })
    },
  })
  const { lines } = await faults({}, ['--url', `http://127.0.0.1:${service.port}`])
  expect(lines).toContainEqual(expect.stringMatching(/^warn {2}nodes .*1 known: a\. To do: a node is silent/))
})

test('a notification that does not arrive', async () => {
  const ended = Promise.withResolvers<void>()
  const stream = new ReadableStream({
    start: async controller => {
      controller.enqueue(new TextEncoder().encode('event: connected\ndata: {}\n\n'))
      await ended.promise
      controller.close()
    },
  })
  await using service = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ method, url }) => {
      if (method === 'POST') ended.resolve()
      if (new URL(url).pathname !== '/sse') return Response.json({ version: '1', node: 'a' })
      return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  expect(await faults({}, ['--url', `http://127.0.0.1:${service.port}`])).toEqual({
    code: 1,
    lines: ['fail  notification  the stream ended. To do: look at the log of the service'],
  })
})

describe('on a terminal', () => {
  /** Runs `doctor` with a terminal as its output, and returns the text on it. */
  async function shown(env: Env): Promise<string> {
    let text = ''
    const child = Bun.spawn([process.execPath, 'src/main.ts', 'doctor'], {
      cwd: new URL('../..', import.meta.url).pathname,
      env: {
        PATH: process.env['PATH'] ?? '',
        SERVER_PORT: '0',
        REDIS_URL: '',
        TERM: 'xterm-256color',
        ...env,
      },
      terminal: {
        cols: 200,
        rows: 40,
        data: (_, chunk) => {
          text += new TextDecoder().decode(chunk)
        },
      },
    })
    await child.exited
    await eventually(() => text.includes('descriptors'))
    return text
  }

  test('each status has its colour', async () => {
    expect(await shown({ JWT_SECRET: '' })).toContain('\u001b[32mok  \u001b[0m  descriptors')
  })

  test('NO_COLOR turns colours off', async () => {
    expect(await shown({ NO_COLOR: '1' })).not.toContain('\u001b[')
  })
})
