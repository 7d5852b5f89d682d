import type { Redis } from 'ioredis'
import type { Config } from '../../config/config.ts'
import { type ReconnectSettings, reconnectPolicyOf } from '../../lib/redis/reconnect-policy.ts'
import { keepLink, type OpenLinkConnection } from '../../lib/redis/reconnecting-link.ts'
import { openRedis } from '../../lib/redis/redis.ts'
import { checkNoCluster } from '../../lib/redis/server-info.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import type { Logger } from '../../observe/log.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Handler } from '../handler.ts'
import type { LinkReporter } from '../link-lines.ts'
import type { Outcomes } from '../outcomes.ts'
import type { Trigger } from '../pubsub.ts'
import { createCommands, type StreamCommands } from './commands.ts'
import { createEntries } from './entries.ts'
import { createReader } from './reader.ts'
import { createStreamLines } from './stream-lines.ts'

interface StreamOptions {
  readonly address: RedisAddress
  /** REDIS_STREAM. */
  readonly name: string
  readonly settings: Pick<Config, 'redisStreamGroup' | 'nodeId' | keyof ReconnectSettings>
  readonly handler: Handler
  readonly outcomes: Outcomes
  /** Whether the store takes entries now. */
  readonly isReady: () => boolean
  readonly reporter: LinkReporter
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Pick<Stats, 'streamEntries' | 'streamPending'>
}

const SETTING = 'REDIS_URL'
const UPKEEP_MS = 1_000
const FORGET_MS = 600_000

/** Reads a Redis stream as one consumer of a group and dispatches its entries. The start does not wait for Redis. */
export function startStream({
  address,
  name,
  settings,
  handler,
  outcomes,
  isReady,
  reporter,
  clock,
  logger,
  stats,
}: StreamOptions): Trigger {
  const { redisStreamGroup: group, nodeId: consumer } = settings
  const lines = createStreamLines({ name, clock, logger })
  const entries = createEntries({
    name,
    handler,
    outcomes,
    lines,
    isReady,
    onRoom: () => reader.wake(),
    clock,
    stats,
  })
  const reader = createReader({ entries, onClaimed: lines.claimed, clock })
  const stopped = new AbortController()
  let commands: StreamCommands | undefined
  let reading = Promise.resolve()
  let forgetsAt = 0

  const attach = (given: StreamCommands | undefined): void => {
    commands = given
    entries.attach(given)
  }

  const open: OpenLinkConnection = async ({ signal, alive }) => {
    const over = new AbortController()
    let made: StreamCommands | undefined
    /** Set when reading fails although Redis answers. */
    let fault: Error | undefined

    const prepare = async (client: Redis, onAnswer: () => void): Promise<void> => {
      await checkNoCluster(client, SETTING)
      made = createCommands({ client, onAnswer, name, group, consumer })
      await made.ensureGroup()
    }
    const ask = async (client: Redis): Promise<Error | undefined> => {
      await client.ping()
      return fault
    }

    const line = await openRedis({ address, setting: SETTING, prepare, ask, alive, signal })
    attach(made)
    void line.ended.then(() => {
      attach(undefined)
      over.abort()
      reader.wake()
    })
    if (made !== undefined)
      reading = reader.run(made, AbortSignal.any([over.signal, stopped.signal])).catch(error => {
        fault = error
      })
    return line
  }

  const link = keepLink({
    open,
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: reporter({ stream: name }),
  })

  const upkeep = every(UPKEEP_MS, async () => {
    entries.upkeep()
    if (commands === undefined) return
    try {
      stats.streamPending = await commands.countPending()
      if (clock.monotonic() < forgetsAt) return
      forgetsAt = clock.monotonic() + FORGET_MS
      await commands.forgetConsumers()
    } catch {
      // Without the permission, old consumers stay; the reader reports everything else.
    }
  })

  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    stopped.abort()
    reader.wake()
    // A read that has begun ends within `BLOCK_MS`, and its entries are handled.
    await reading
    await entries.stop()
    upkeep[Symbol.dispose]()
    link[Symbol.dispose]()
  }

  return {
    get state() {
      return link.state
    },
    stop: () => {
      stopping ??= stop()
      return stopping
    },
  }
}
