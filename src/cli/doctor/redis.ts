import type { Redis } from 'ioredis'
import type { Config, Environment } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { openRedis } from '../../lib/redis/redis.ts'
import { isReplyError } from '../../lib/redis/reply-error.ts'
import { checkedInfo, checkNoCluster, parseInfo, type ServerInfo } from '../../lib/redis/server-info.ts'
import { describe } from '../../lib/redis/url.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { notReached } from './redis-faults.ts'
import type { RedisUse } from './redis-servers.ts'
import { checkUses } from './redis-uses.ts'

/** Time limit of all checks of a Redis, milliseconds. */
const ALL_MS = 8_000
/** Number of PINGs, and the time after which no other one is sent, milliseconds. */
const PINGS = 5
const PINGS_MS = 1_000
const SLOW_MS = 20
/** Tokens are accepted with a leeway of 60 s, notifications expire to the millisecond. */
const OFF_MS = 1_000
const WRONG_MS = 30_000

/** Takes the quickest of some PINGs: the others also waited for this busy machine. */
async function checkLatency(client: Redis): Promise<Finding> {
  const times: number[] = []
  const end = performance.now() + PINGS_MS
  while (times.length < PINGS && performance.now() < end) {
    const began = performance.now()
    await client.ping()
    times.push(performance.now() - began)
  }
  const least = Math.min(...times)
  const message = `${least.toFixed(1)} ms for a PING`
  if (least < SLOW_MS) return ok('latency', message)
  return warn('latency', message, 'run Redis closer to the service: each send waits for it')
}

async function checkClock(client: Redis): Promise<Finding> {
  const before = Date.now()
  const [seconds = 0, micros = 0] = (await client.time()).map(Number)
  const [between, unsure] = [(before + Date.now()) / 2, (Date.now() - before) / 2]
  const off = Math.round(seconds * 1_000 + micros / 1_000 - between)
  // Redis read its clock at any moment of the call.
  const least = Math.abs(off) - unsure
  const message = `Redis is ${Math.abs(off)} ms ${off < 0 ? 'behind' : 'ahead of'} this machine`
  const advice = 'synchronize both clocks (chrony, systemd-timesyncd): ttl and tokens depend on them'
  if (least < OFF_MS) return ok('clock', message)
  return least < WRONG_MS ? warn('clock', message, advice) : fail('clock', message, advice)
}

/** Ignores that the user of a trigger may lack the permission to ask. */
const ifPermitted = <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (isReplyError(error)) return undefined
    throw error
  })

async function infoOf(client: Redis, { setting, isStore, isBus }: RedisUse): Promise<ServerInfo | undefined> {
  if (isStore || isBus) return await checkedInfo(client, setting)
  await checkNoCluster(client, setting)
  const text = await ifPermitted(client.info())
  return text === undefined ? undefined : parseInfo(text)
}

/** Pushes a finding after each step, so that those before a failure stay. */
async function checkServer(client: Redis, use: RedisUse, config: Config, findings: Finding[]): Promise<void> {
  const info = await infoOf(client, use)
  const version = info?.get('redis_version')
  const place = `${use.setting} ${describe(use.address)} answers`
  findings.push(ok('redis', version === undefined ? place : `${place}, version ${version}`))
  const clock = use.isStore ? await checkClock(client) : await ifPermitted(checkClock(client))
  if (clock !== undefined) findings.push(clock)
  findings.push(await checkLatency(client))
  for await (const finding of checkUses(client, use, config, info)) findings.push(finding)
}

/** Checks one Redis within ALL_MS. */
export async function checkRedis(
  use: RedisUse,
  config: Config,
  env: Environment,
): Promise<readonly Finding[]> {
  const signal = AbortSignal.timeout(ALL_MS)
  const findings: Finding[] = []
  try {
    const link = await openRedis({
      address: use.address,
      setting: use.setting,
      alive: () => {},
      signal,
      prepare: client => checkServer(client, use, config, findings),
    })
    link.end()
    return findings
  } catch (error) {
    const reason = signal.aborted ? 'too slow to be checked' : errorLine(error)
    return [...findings, notReached(use, reason, env['REDIS_URL'] !== undefined)]
  }
}
