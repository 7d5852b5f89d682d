import type { Redis } from 'ioredis'
import { type ReconnectSettings, reconnectPolicyOf } from '../../lib/redis/reconnect-policy.ts'
import { keepLink } from '../../lib/redis/reconnecting-link.ts'
import { openRedis } from '../../lib/redis/redis.ts'
import { isReplyError } from '../../lib/redis/reply-error.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import askScript from './ask.lua' with { type: 'text' }
import releaseScript from './release.lua' with { type: 'text' }

/**
 * Answer of Redis. Any but `held` means that this node holds the lease now.
 * - `first`: no holder was known; `kept`: this node held it last, though it may have ended meanwhile.
 * - `taken`: another node held it last until its time was over; `released`: until it gave it up.
 * - `held`: another node holds it, for `leftMs` unless it renews it.
 */
export interface LeaseAnswer {
  readonly type: 'first' | 'kept' | 'taken' | 'released' | 'held'
  readonly leftMs: number
  /** Changes whenever a node gets the lease. */
  readonly since: string
  /** When this node asked, monotonic milliseconds. */
  readonly askedAt: number
}

/** Asks for a lease and renews it, several times within its duration. */
export interface Lease {
  /** Asks now. */
  ask(): Promise<void>
  /** Gives it up. Resolves when Redis has answered, or when it cannot. */
  release(): Promise<void>
  /** Asks no more. */
  end(): void
}

interface LeaseOptions {
  /** Redis of the bus: all nodes of a cluster and a database share the lease. */
  readonly address: RedisAddress
  readonly settings: ReconnectSettings
  /** Name of this process. */
  readonly holder: string
  /** Whether this node could use the lease now. */
  readonly isWanted: () => boolean
  readonly onAnswer: (answer: LeaseAnswer) => void
  /** Called when Redis refuses to answer: then no node dispatches. */
  readonly onRefused: (reason: string) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/** Duration, milliseconds. Another node takes over within this time and `ASK_MS`. */
export const LEASE_MS = 2_000
const ASK_MS = 250
const KEY = 'ara:lease:{pubsub}'
const TYPES: readonly LeaseAnswer['type'][] = ['first', 'kept', 'taken', 'released', 'held']

const answerOf = (reply: unknown, askedAt: number): LeaseAnswer => {
  const [word, left, since] = Array.isArray(reply) ? reply : []
  const type = TYPES.find(known => known === word)
  if (type === undefined) throw new Error('Redis sent an unexpected reply to a script')
  return { type, leftMs: Number(left), since: String(since), askedAt }
}

export function keepLease({
  address,
  settings,
  holder,
  isWanted,
  onAnswer,
  onRefused,
  clock,
}: LeaseOptions): Lease {
  let client: Redis | undefined

  const link = keepLink({
    open: async options => {
      let made: Redis | undefined
      const prepare = async (opened: Redis): Promise<void> => {
        made = opened
      }
      const line = await openRedis({ address, setting: 'BUS_URL', prepare, ...options })
      client = made
      void line.ended.then(() => {
        client = undefined
      })
      return line
    },
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: event => {
      if (event.type === 'connected') void ask()
    },
  })

  const ask = async (): Promise<void> => {
    if (client === undefined || !isWanted()) return
    const askedAt = clock.monotonic()
    try {
      onAnswer(answerOf(await client.eval(askScript, 1, KEY, holder, LEASE_MS), askedAt))
    } catch (error) {
      // Without an answer the lease ends by itself.
      if (isReplyError(error)) onRefused(error.message)
    }
  }
  const asking = every(ASK_MS, ask)

  const release = async (): Promise<void> => {
    await client?.eval(releaseScript, 1, KEY, holder).catch(() => {})
  }

  return {
    ask,
    release,
    end: () => {
      asking[Symbol.dispose]()
      link[Symbol.dispose]()
    },
  }
}
