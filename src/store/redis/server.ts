import type { Redis } from 'ioredis'
import { StoreAway } from '../../errors.ts'
import { exchange, type RedisCommand } from '../../lib/redis/exchange.ts'
import { type ReconnectSettings, reconnectPolicyOf } from '../../lib/redis/reconnect-policy.ts'
import { keepLink, type OpenLinkConnection } from '../../lib/redis/reconnecting-link.ts'
import { openRedis } from '../../lib/redis/redis.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { LIFE_KEY } from './keys.ts'
import { createNames } from './names.ts'
import { createRedisClock } from './redis-clock.ts'
import { SCRIPTS, type Script } from './scripts.ts'
import { checkServer, evictionOf } from './server-check.ts'

export type Command = RedisCommand

/** Reply of Redis to one command. */
export type Reply = unknown

/** One connection that is up. */
export interface LiveConnection {
  /** Life of the Redis behind it. A command sent over this connection reaches that life, or nothing. */
  readonly life: string
  /** Estimated clock of Redis, never ahead of it; milliseconds since 1970. */
  now(): number
  /** Time argument of the scripts: empty, so that Redis reads its own clock, unless a test sets the time. */
  time(): number | ''
  /** Whether Redis may evict keys at any moment. */
  mayEvict(): boolean
  /**
   * Sends all commands in one write. Replies in order, an Error for each refusal. Rejects when the connection ends first.
   */
  send(commands: readonly Command[]): Promise<readonly (Reply | Error)[]>
}

/** One watched connection to the Redis of a store. Reconnects until it succeeds. */
export interface Server extends Disposable {
  /** Undefined while there is no connection. */
  readonly connection: LiveConnection | undefined
  /** Whether Redis is connected and accepts writes. */
  isUp(): boolean
  /** Whether Redis evicts nothing. */
  isSafe(): boolean
}

export interface ServerOptions {
  readonly address: RedisAddress
  readonly settings: ReconnectSettings
  /** Replicas that must confirm a write before it counts. */
  readonly replicas: number
  readonly clock: Clock
  /** Called when the reason why no write counts changes; undefined when writes count again. */
  readonly onState: (reason: string | undefined) => void
  /** Called once for each connection. */
  readonly onWarnings: (warnings: readonly string[]) => void
  /** Called when Redis has answered a question asked at that time; monotonic milliseconds. */
  readonly onAnswer: (askedAt: number) => void
  /** Replaces the clock of Redis in tests, milliseconds since 1970. */
  readonly testTime?: (() => number) | undefined
}

/** Time for the replicas to answer a health check, milliseconds. */
const REPLICAS_MS = 400

/** The Redis was replaced by another one, or was emptied. */
class ReplacedError extends Error {}

/** Builds the command that runs a script. */
export const run = ({ sha }: Script, keys: readonly string[], ...given: (string | number)[]): Command => [
  'evalsha',
  sha,
  keys.length,
  ...keys,
  ...given,
]

const TEXTS = new Map<string | number | undefined, string>(
  Object.values(SCRIPTS).map(({ sha, text }) => [sha, text]),
)

const isForgotten = (reply: Reply | Error): boolean =>
  reply instanceof Error && reply.message.startsWith('NOSCRIPT')

/** Replaces the digest by the text, for a Redis that has forgotten the script. */
const spelledOut = ([, sha, ...rest]: Command): Command => ['eval', TEXTS.get(sha) ?? '', ...rest]

/** Rethrows: any error that is not a reply of Redis means that the connection has ended. */
function throwEnded(cause: unknown): never {
  throw cause instanceof TypeError ? cause : new StoreAway('the connection to Redis has ended', { cause })
}

const sendAll = (client: Redis, commands: readonly Command[]): Promise<readonly (Reply | Error)[]> =>
  exchange(client, commands).catch(throwEnded)

/**
 * Sends the commands. Scripts that Redis has forgotten are sent again. So is each plain command after the first of them.
 * Plain commands may run twice and must run last: a WAIT counts for earlier commands, an index entry for an existing
 * entry.
 */
async function send(client: Redis, commands: readonly Command[]): Promise<readonly (Reply | Error)[]> {
  const replies = await sendAll(client, commands)
  const first = replies.findIndex(isForgotten)
  if (first < 0) return replies
  const isRepeated = (n: number): boolean =>
    isForgotten(replies[n]) || (n > first && commands[n]?.[0] !== 'evalsha')
  const repeated = commands.filter((_, n) => isRepeated(n))
  const again = await sendAll(
    client,
    repeated.map(command => (command[0] === 'evalsha' ? spelledOut(command) : command)),
  )
  let next = 0
  return replies.map((reply, n) => (isRepeated(n) ? again[next++] : reply))
}

const load = (client: Redis): Promise<unknown> =>
  Promise.all(Object.values(SCRIPTS).map(({ text }) => client.script('LOAD', text)))

export function connectServer({
  address,
  settings,
  replicas,
  clock,
  onState,
  onWarnings,
  onAnswer,
  testTime,
}: ServerOptions): Server {
  let connection: LiveConnection | undefined
  let fault: string | undefined
  let reported: string | undefined
  let mayEvict = false
  /** Keys evicted since Redis started, when last checked. */
  let evicted: number | undefined

  /** Checked each second: a setting of Redis can change while it runs. */
  const watchEviction = (info: Reply): void => {
    const eviction = evictionOf(String(info))
    const isEvicting = evicted !== undefined && eviction.evicted > evicted
    evicted = eviction.evicted
    mayEvict = eviction.mayEvict || isEvicting
    if (isEvicting)
      onWarnings([
        `STORE_URL: Redis evicts keys, so notifications are lost (maxmemory-policy is ${eviction.policy}, expected noeviction)`,
      ])
  }

  const tell = (reason: string | undefined): void => {
    if (reason === reported) return
    reported = reason
    onState(reason)
  }

  const open: OpenLinkConnection = async ({ signal, alive }) => {
    let life = ''
    let anchor = ''
    const redisClock = createRedisClock(clock)
    let made: LiveConnection | undefined

    /** Returns why no write counts, or undefined. Throws when the data were replaced. */
    const look = async (client: Redis): Promise<string | undefined> => {
      const beat = run(SCRIPTS.beat, [LIFE_KEY], life, mayEvict ? anchor : '')
      const wait: readonly Command[] = replicas > 0 ? [['wait', replicas, REPLICAS_MS]] : []
      const askedAt = clock.monotonic()
      const [reply, ...rest] = await send(client, [beat, ...wait, ['info', 'memory'], ['info', 'stats']])
      const reached = replicas > 0 ? rest.shift() : undefined
      watchEviction(rest.join('\n'))
      if (!Array.isArray(reply))
        return reply instanceof Error ? reply.message : 'Redis sent an unexpected reply to the health check'
      if (reply[1] === 0) throw new ReplacedError('the data in Redis were replaced')
      redisClock.note(Number(reply[0]), askedAt)
      const isEnough = replicas === 0 || (typeof reached === 'number' && reached >= replicas)
      return isEnough ? undefined : `fewer than ${replicas} replicas answer`
    }

    const prepare = async (client: Redis): Promise<void> => {
      const { warnings, ...check } = await checkServer(client, address)
      anchor = check.anchor
      await load(client)
      const askedAt = clock.monotonic()
      const [reply] = await send(client, [run(SCRIPTS.life, [LIFE_KEY], anchor, createNames()())])
      if (!Array.isArray(reply)) throw reply
      life = String(reply[0])
      redisClock.note(Number(reply[1]), askedAt)
      fault = await look(client)
      made = {
        life,
        now: redisClock.now,
        time: () => testTime?.() ?? '',
        mayEvict: () => mayEvict,
        send: commands => send(client, commands),
      }
      onWarnings(warnings)
    }

    const ask = async (client: Redis): Promise<Error | undefined> => {
      const askedAt = clock.monotonic()
      try {
        fault = await look(client)
      } catch (error) {
        if (error instanceof ReplacedError) return error
        throw error
      }
      tell(fault)
      onAnswer(askedAt)
      return undefined
    }

    evicted = undefined
    const line = await openRedis({ address, setting: 'STORE_URL', prepare, ask, alive, signal })
    connection = made
    tell(fault)
    onAnswer(clock.monotonic())
    void line.ended.then(() => {
      connection = undefined
    })
    return line
  }

  const link = keepLink({
    open,
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: event => {
      if (event.type === 'lost' || event.type === 'failed') tell(event.reason)
    },
  })

  return {
    get connection() {
      return connection
    },
    isUp: () => connection !== undefined && fault === undefined,
    isSafe: () => !mayEvict,
    [Symbol.dispose]: () => link[Symbol.dispose](),
  }
}
