import type { Redis } from 'ioredis'
import type { Config, Environment } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { openRedis } from '../../lib/redis/redis.ts'
import { checkedInfo, checkNoCluster, type ServerInfo } from '../../lib/redis/server-info.ts'
import { describe, type RedisAddress } from '../../lib/redis/url.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { checkUses, type RedisUse } from './redis-uses.ts'

const PINGS = 5
const SLOW_MS = 20
/** Tokens are accepted with a leeway of 60 s, notifications expire to the millisecond. */
const OFF_MS = 1_000
const WRONG_MS = 30_000

/** The Redis servers of the settings, each once. */
export function redisUses({ storeUrl, busUrl, redisUrl }: Config): readonly RedisUse[] {
  const uses = new Map<string, RedisUse>()
  const add = (address: RedisAddress, use: Partial<RedisUse> & Pick<RedisUse, 'setting'>): void => {
    const name = JSON.stringify(address)
    const none = { address, isStore: false, isBus: false, isTrigger: false, ...use }
    uses.set(name, { ...none, ...uses.get(name), ...use, setting: uses.get(name)?.setting ?? use.setting })
  }
  if (storeUrl.kind === 'redis') add(storeUrl.address, { isStore: true, setting: 'STORE_URL' })
  if (busUrl.kind === 'redis') add(busUrl.address, { isBus: true, setting: 'BUS_URL' })
  if (redisUrl !== undefined) add(redisUrl, { isTrigger: true, setting: 'REDIS_URL' })
  return [...uses.values()]
}

async function checkLatency(client: Redis): Promise<Finding> {
  const times: number[] = []
  for (let n = 0; n < PINGS; n++) {
    const began = performance.now()
    await client.ping()
    times.push(performance.now() - began)
  }
  const median = times.sort((a, b) => a - b)[PINGS >> 1] ?? 0
  const message = `${median.toFixed(1)} ms for a PING`
  if (median < SLOW_MS) return ok('latency', message)
  return warn('latency', message, 'run Redis closer to the service: each send waits for it')
}

async function checkClock(client: Redis): Promise<Finding> {
  const before = Date.now()
  const [seconds = 0, micros = 0] = (await client.time()).map(Number)
  const between = (before + Date.now()) / 2
  const off = Math.round(seconds * 1_000 + micros / 1_000 - between)
  const message = `Redis is ${Math.abs(off)} ms ${off < 0 ? 'behind' : 'ahead of'} this machine`
  const advice = 'synchronize both clocks (chrony, systemd-timesyncd): ttl and tokens depend on them'
  if (Math.abs(off) < OFF_MS) return ok('clock', message)
  return Math.abs(off) < WRONG_MS ? warn('clock', message, advice) : fail('clock', message, advice)
}

/** A trigger needs no permission for INFO. */
async function infoOf(client: Redis, { setting, isStore, isBus }: RedisUse): Promise<ServerInfo | undefined> {
  if (isStore || isBus) return await checkedInfo(client, setting)
  await checkNoCluster(client, setting)
  return undefined
}

function notReached(
  { address, setting, isStore, isBus }: RedisUse,
  error: unknown,
  isAsked: boolean,
): Finding {
  const reason = errorLine(error)
  const message = `${setting} ${describe(address)}: ${reason}`
  if (reason.startsWith(`${setting}:`)) return fail('redis', reason, 'see "Redis" in docs/OPERATIONS.md')
  if (/WRONGPASS|NOAUTH|NOPERM/.test(reason))
    return fail('redis', message, `correct user and password in ${setting}`)
  const advice =
    reason === 'no answer'
      ? 'Redis is frozen or a firewall drops its packets: look at its machine'
      : `start Redis, or correct ${setting}`
  if (isStore || isBus || isAsked) return fail('redis', message, advice)
  return warn('redis', message, 'start Redis, or set REDIS_URL= if no backend publishes there')
}

/** Checks one Redis within about 3 s. */
export async function checkRedis(
  use: RedisUse,
  config: Config,
  env: Environment,
): Promise<readonly Finding[]> {
  const ending = new AbortController()
  const findings: Finding[] = []
  try {
    const link = await openRedis({
      address: use.address,
      setting: use.setting,
      alive: () => {},
      signal: ending.signal,
      prepare: async client => {
        const info = await infoOf(client, use)
        const version = info?.get('redis_version')
        findings.push(
          ok(
            'redis',
            `${use.setting} ${describe(use.address)} answers${version === undefined ? '' : `, version ${version}`}`,
          ),
        )
        if (use.isStore) findings.push(await checkClock(client))
        findings.push(await checkLatency(client))
        findings.push(...(await checkUses(client, use, config, info)))
      },
    })
    link.end()
    return findings
  } catch (error) {
    return [...findings, notReached(use, error, env['REDIS_URL'] !== undefined)]
  } finally {
    ending.abort()
  }
}
