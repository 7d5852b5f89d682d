import { describe, expect, test } from 'bun:test'
import type { Redis } from 'ioredis'
import type { RedisAddress } from '../../src/lib/redis/url.ts'
import { checkServer } from '../../src/store/redis/server-check.ts'

const ADDRESS: RedisAddress = { hosts: [{ host: 'r', port: 6379 }], tls: false, db: 0 }

const GOOD = {
  redis_version: '7.0.15',
  run_id: 'f00',
  role: 'master',
  connected_slaves: '0',
  cluster_enabled: '0',
  aof_enabled: '1',
  maxmemory_policy: 'noeviction',
}

/** Redis that reports this version and, if given, these settings. */
const redisOf = (info: Partial<Record<string, string>>, settings?: Record<string, string>): Redis =>
  ({
    info: async () =>
      `# Server\r\n${Object.entries({ ...GOOD, ...info })
        .map(([name, value]) => `${name}:${value}\r\n`)
        .join('')}`,
    config: async (_: string, name: string) => {
      if (settings === undefined) throw new Error('NOPERM')
      return [name, settings[name] ?? '']
    },
  }) as unknown as Redis

describe('a Redis is refused', () => {
  for (const version of ['6.0.16', '5.0.14', '2.8.0', '', 'x'])
    test(`of version ${version || 'unknown'}`, () => {
      expect(checkServer(redisOf({ redis_version: version }), ADDRESS)).rejects.toThrow('Redis 6.2 or later')
    })

  for (const version of ['6.2.0', '6.2.14', '7.0.0', '8.2.1', '10.0.0'])
    test(`but not of version ${version}`, async () => {
      expect((await checkServer(redisOf({ redis_version: version }), ADDRESS)).anchor).toBe('run@f00')
    })

  test('in cluster mode', () => {
    expect(checkServer(redisOf({ cluster_enabled: '1' }), ADDRESS)).rejects.toThrow('Redis Cluster')
  })
})

describe('a life lasts as long as', () => {
  const ALWAYS = { appendfsync: 'always' }
  const anchorOf = async (
    info: Partial<Record<string, string>>,
    settings?: Record<string, string>,
    address: Partial<RedisAddress> = {},
  ) => (await checkServer(redisOf(info, settings), { ...ADDRESS, ...address })).anchor

  test('the address, for a single Redis that syncs to disk before it answers', async () => {
    expect(await anchorOf({}, ALWAYS)).toBe('always@r:6379')
    expect(await anchorOf({}, ALWAYS, { hosts: [{ host: 's', port: 1 }] })).toBe('always@s:1')
  })

  for (const [what, given] of [
    ['writes each second', [{}, { appendfsync: 'everysec' }]],
    ['has its log switched off', [{ aof_enabled: '0' }, ALWAYS]],
    ['does not say', [{}]],
    ['has a replica', [{ connected_slaves: '1' }, ALWAYS]],
    ['is a replica', [{ role: 'slave' }, ALWAYS]],
    ['is named by Sentinels', [{}, ALWAYS, { master: 'm' }]],
  ] as const)
    test(`the process, for one that ${what}`, async () => {
      const [info, settings, address] = given as readonly [object, Record<string, string>?, object?]
      expect(await anchorOf(info as Record<string, string>, settings, address)).toBe('run@f00')
    })
})
