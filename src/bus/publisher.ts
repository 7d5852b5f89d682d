import type { Redis } from 'ioredis'
import { StoreAway } from '../errors.ts'
import { Deque } from '../lib/collections/deque.ts'
import { exchange } from '../lib/redis/exchange.ts'
import { isReplyError } from '../lib/redis/reply-error.ts'
import type { Clock } from '../lib/time/clock.ts'
import { every } from '../lib/time/every.ts'
import script from './publish.lua' with { type: 'text' }

/** A connection that publishes. */
export interface PublishingConnection {
  readonly publisher: Redis
  /** Channel to which only this node subscribes, over the connection that receives. */
  readonly pulse: string
}

/** Publishes messages over one connection, in the order of the calls. */
export interface Publisher extends Disposable {
  /** Uses this connection from now on; undefined: there is none, and every call is rejected. */
  attach(connection: PublishingConnection | undefined): void
  /**
   * Resolves with the number of exact subscribers. Rejects with StoreAway, within a second; the outcome is then unknown.
   * `skipsOwn`: this node subscribes to the channel. If no one else does, it publishes nothing and resolves with 0.
   */
  publish(channel: string, message: string, skipsOwn?: boolean): Promise<number>
}

const TICK_MS = 50
/** Most time that a tick counts: a pause of this process is not blamed on Redis. */
const MAX_TICK_MS = 100
/** Together with a tick less than a second. */
const DEADLINE_MS = 900
/** Bounds of one script, during which Redis serves nothing else. */
const MAX_GROUP = 500
const MAX_GROUP_BYTES = 1024 * 1024
const GROUPS = 4
/** Bounds of what waits for Redis. */
const MAX_WAITING = 50_000
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** Redis reads the text of a script each time. */
const SCRIPT = script.replaceAll(/^--.*\n/gm, '')

interface Message {
  readonly channel: string
  readonly message: string
  readonly skipsOwn: boolean
}

interface Outgoing extends Message {
  readonly at: number
  readonly resolve: (nodes: number) => void
  readonly reject: (error: Error) => void
}

const away = (cause?: unknown): StoreAway => new StoreAway('the bus is away', { cause })

/** Publishes in one script. A text, not a digest: Redis never asks for it again, so nothing is published twice. */
export async function publishAll(
  { publisher, pulse }: PublishingConnection,
  messages: readonly Message[],
): Promise<readonly (number | string)[]> {
  const command: [string, ...(string | number)[]] = ['eval', SCRIPT, 0, pulse]
  let skipsOwn = ''
  for (const { channel } of messages) command.push(channel)
  for (const each of messages) {
    command.push(each.message)
    skipsOwn += each.skipsOwn ? '1' : '0'
  }
  command.push(skipsOwn)
  const [reply] = await exchange(publisher, [command])
  if (reply instanceof Error) throw reply
  return reply as (number | string)[]
}

interface PublisherOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Called for each message that Redis has published. */
  readonly onPublished: () => void
}

export function createPublisher({ clock, onPublished }: PublisherOptions): Publisher {
  let connection: PublishingConnection | undefined
  const waiting = new Deque<Outgoing>()
  let waitingBytes = 0
  const underWay = new Set<readonly Outgoing[]>()
  /** Milliseconds without the pauses of this process. */
  let time = 0
  let tickedAt = clock.monotonic()
  let isScheduled = false

  const refuse = (messages: readonly Outgoing[], error: Error): void => {
    for (const { reject } of messages) reject(error)
  }

  /** Takes messages from the front while the condition holds. */
  const takeWhile = (isWanted: (next: Outgoing, count: number) => boolean): readonly Outgoing[] => {
    const taken: Outgoing[] = []
    for (let next = waiting.at(0); next !== undefined && isWanted(next, taken.length); next = waiting.at(0)) {
      waiting.shift()
      waitingBytes -= next.message.length
      taken.push(next)
    }
    return taken
  }

  const refuseWaiting = (error: Error): void =>
    refuse(
      takeWhile(() => true),
      error,
    )

  const takeGroup = (): readonly Outgoing[] => {
    let bytes = 0
    return takeWhile(({ message }, count) => {
      bytes += message.length
      return count === 0 || (count < MAX_GROUP && bytes <= MAX_GROUP_BYTES)
    })
  }

  const settle = (group: readonly Outgoing[], counts: readonly (number | string)[]): void => {
    for (const [n, { resolve, reject, skipsOwn }] of group.entries()) {
      const count = counts[n]
      if (typeof count !== 'number') reject(new StoreAway(`Redis refused to publish: ${count}`))
      else {
        if (count > 0 || !skipsOwn) onPublished()
        resolve(count)
      }
    }
  }

  const post = (to: PublishingConnection, group: readonly Outgoing[]): void => {
    underWay.add(group)
    void publishAll(to, group)
      .then(
        counts => settle(group, counts),
        error => refuse(group, isReplyError(error) ? new StoreAway(error.message) : away(error)),
      )
      .finally(() => {
        underWay.delete(group)
        postWaiting()
      })
  }

  const postWaiting = (): void => {
    isScheduled = false
    while (connection !== undefined && waiting.length > 0 && underWay.size < GROUPS)
      post(connection, takeGroup())
  }

  const onTick = (): void => {
    const now = clock.monotonic()
    time += Math.min(now - tickedAt, MAX_TICK_MS)
    tickedAt = now
    const isOverdue = ({ at }: Outgoing): boolean => time - at >= DEADLINE_MS
    const late = new StoreAway('the bus took too long')
    for (const group of underWay) refuse(group.filter(isOverdue), late)
    refuse(takeWhile(isOverdue), late)
  }
  const ticks = every(TICK_MS, onTick)

  return {
    attach: next => {
      connection = next
      if (next === undefined) refuseWaiting(away())
    },
    publish: (channel, message, skipsOwn = false) => {
      if (connection === undefined) return Promise.reject(away())
      if (waiting.length >= MAX_WAITING || waitingBytes >= MAX_WAITING_BYTES)
        return Promise.reject(new StoreAway('the bus is overloaded: too many messages wait for it'))
      return new Promise((resolve, reject) => {
        waiting.insert(waiting.length, { channel, message, skipsOwn, at: time, resolve, reject })
        waitingBytes += message.length
        // Sends at the end of this turn, so that its messages go together.
        if (!isScheduled && underWay.size < GROUPS) {
          isScheduled = true
          setImmediate(postWaiting)
        }
      })
    },
    [Symbol.dispose]: () => {
      ticks[Symbol.dispose]()
      refuseWaiting(away())
    },
  }
}
