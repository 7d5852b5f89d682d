import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runCli } from '../support/cli.ts'
import { faults } from '../support/doctor.ts'
import { permit, startRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

const KEEPING = ['--appendonly', 'yes'] as const
const store = (url: string) => ({ QUEUE_ENABLED: 'true', STORE_URL: url })

async function expectFailure(env: Readonly<Record<string, string>>, line: RegExp): Promise<void> {
  expect(await faults(env)).toEqual({ code: 1, lines: [expect.stringMatching(line)] })
}

describe('a Redis that cannot serve as store', () => {
  test('is a replica', async () => {
    await using master = await startRedis(...KEEPING)
    await using replica = await startRedis(...KEEPING, '--replicaof', '127.0.0.1', String(master.port))
    await expectFailure(
      store(replica.url),
      /^fail {2}redis {9}store: READONLY .* read only replica\. To do: name the master in STORE_URL/,
    )
  })

  test('has fewer replicas than STORE_REPLICAS', async () => {
    await using master = await startRedis(...KEEPING, '--repl-diskless-sync-delay', '0')
    const env = { ...store(master.url), STORE_REPLICAS: '1' }
    await expectFailure(env, /^fail {2}replicas {6}0 connected, .* 1: .* 503\. To do: start replicas/)
    await using replica = await startRedis(...KEEPING, '--replicaof', '127.0.0.1', String(master.port))
    await eventually(async () => (await replica.client().info('replication')).includes('link_status:up'))
    expect(await faults(env)).toEqual({ code: 0, lines: [] })
  })

  test('has no memory left', async () => {
    await using redis = await startRedis(...KEEPING)
    await redis.client().set('other', 'x'.repeat(1_000_000))
    await redis.client().config('SET', 'maxmemory', '1mb')
    await expectFailure(store(redis.url), /^fail {2}redis {9}store: OOM .* To do: raise maxmemory/)
  })

  test('saves snapshots only', async () => {
    await using redis = await startRedis('--save', '3600 1')
    expect(await faults(store(redis.url))).toEqual({
      code: 0,
      lines: [expect.stringMatching(/^warn {2}persistence {3}snapshots only: .* To do: set appendonly yes/)],
    })
  })

  test.each([
    ['refuses writes', 'yes', /^fail {2}redis .*MISCONF .* To do: look at the log and disk/],
    ['goes on', 'no', /^fail {2}persistence {3}the last snapshot .*failed\. To do: look at the log and disk/],
  ])('cannot save its data, and %s', async (_, stopWrites, line) => {
    await using redis = await startRedis('--save', '3600 1', '--stop-writes-on-bgsave-error', stopWrites)
    const [, directory] = (await redis.client().config('GET', 'dir')) as readonly string[]
    // A snapshot cannot replace a directory.
    await mkdir(join(directory ?? '', 'dump.rdb'))
    await redis.client().bgsave()
    const persistence = () => redis.client().info('persistence')
    await eventually(async () => (await persistence()).includes('rdb_last_bgsave_status:err'))
    await expectFailure(store(redis.url), line)
  })

  test('has no connection left', async () => {
    await using redis = await startRedis(...KEEPING, '--maxclients', '1')
    await redis.client().ping()
    await expectFailure(store(redis.url), /^fail {2}redis .*max number of clients.* To do: raise maxclients/)
  })

  test('does not permit INFO', async () => {
    await using redis = await startRedis(...KEEPING)
    await redis.client().call('ACL', 'SETUSER', 'weak', 'on', '>pass', '~*', '&*', '+@all', '-info')
    await expectFailure(
      store(redis.url.replace('//', '//weak:pass@')),
      /^fail {2}redis .*NOPERM .* To do: give the user the permissions/,
    )
  })

  test('is another program', async () => {
    await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('hello') })
    await expectFailure(
      store(`redis://127.0.0.1:${other.port}`),
      /^fail {2}redis .* To do: correct STORE_URL: another program listens there$/,
    )
  })
})

describe('the Redis of REDIS_URL', () => {
  test('tells version and clock; with a stream it must keep its data', async () => {
    await using redis = await startRedis()
    const { stdout } = await runCli(['doctor'], { env: { REDIS_URL: redis.url } })
    expect(stdout).toMatch(/^ok {4}redis {9}REDIS_URL \S+ answers, version \d/m)
    expect(stdout).toMatch(/^ok {4}clock /m)
    expect(stdout).not.toMatch(/persistence/)
    expect(await faults({ REDIS_URL: redis.url, REDIS_STREAM: 'orders' })).toEqual({
      code: 0,
      lines: [expect.stringMatching(/^warn {2}persistence .* To do: set appendonly yes/)],
    })
  })

  test('has something else under the name of the stream', async () => {
    await using redis = await startRedis(...KEEPING)
    await redis.client().set('orders', 'x')
    await expectFailure(
      { REDIS_URL: redis.url, REDIS_STREAM: 'orders' },
      /^fail {2}redis {9}stream: WRONGTYPE .* To do: another program uses this key/,
    )
  })

  test('does not permit to read the stream', async () => {
    await using redis = await startRedis(...KEEPING)
    await permit(redis.client(), 'ara', 'notification:user')
    const env = { REDIS_URL: redis.url.replace('//', '//ara:secret@'), REDIS_STREAM: 'orders' }
    await expectFailure(env, /^fail {2}permissions {3}stream: .* To do: give the user the permissions/)
  })

  test('does not permit to take the lease', async () => {
    await using redis = await startRedis(...KEEPING)
    await permit(redis.client(), 'bus', 'ara:bus')
    const env = {
      ...store(redis.url),
      REDIS_URL: redis.url,
      BUS_URL: redis.url.replace('//', '//bus:secret@'),
    }
    await expectFailure(env, /^fail {2}permissions {3}lease: .* To do: .*"The bus" in docs\/OPERATIONS\.md/)
  })
})

test('the documented permissions are enough for trigger, stream, bus and lease, and nothing stays behind', async () => {
  await using redis = await startRedis(...KEEPING)
  const client = redis.client()
  await permit(client, 'ara', 'notification:user')
  await permit(client, 'ara', 'xreadgroup')
  await permit(client, 'bus', 'ara:bus')
  await permit(client, 'bus', 'lease')
  await client.xadd('orders', '*', 'a', 'b')
  const env = {
    ...store(redis.url),
    REDIS_URL: redis.url.replace('//', '//ara:secret@'),
    BUS_URL: redis.url.replace('//', '//bus:secret@'),
    REDIS_STREAM: 'orders',
  }
  expect(await faults(env)).toEqual({ code: 0, lines: [] })
  expect(await client.keys('*')).toEqual(['orders'])
  expect(await client.xinfo('GROUPS', 'orders')).toEqual([])
  expect(await client.xlen('orders')).toBe(1)
})
