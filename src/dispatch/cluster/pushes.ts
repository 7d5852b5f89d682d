import { ALL_NODES } from '../../bus/bus.ts'
import { createSizedCache } from '../../lib/collections/sized-cache.ts'
import { whenReady } from '../../lib/flow/awaitable.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { busChannel } from '../../notification/bus-channel.ts'
import type { Cursor } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import { type PushSource, parsePush, referredId } from '../../store/push.ts'
import type { Reach } from '../reach.ts'
import { messageOf } from './call-message.ts'
import type { AnswerCall, Calls } from './calls.ts'
import { NOBODY, reachText } from './reach-text.ts'

const PUSH = 'push'
const BODY = 'body'

/** Bounds of shared bodies of other nodes: their pushes follow within the same append. */
const MAX_BODIES_BYTES = 32 * 1024 * 1024
const MAX_BODIES = 10_000

/** The messages with which a store tells other nodes of its entries; `db` is the database of the bus. */
export const createPushSource = (calls: Pick<Calls, 'begin' | 'headOf'>, db: number): PushSource => ({
  channelOf: owner => busChannel(db, owner),
  begin: calls.begin,
  headOf: id => calls.headOf(PUSH, id),
  share: (tenant, id, body) => ({
    channel: busChannel(db, ALL_NODES),
    message: messageOf(calls.headOf(BODY), `${tenant} ${id}\n${body}`),
  }),
})

interface ReceiveOptions {
  readonly calls: Pick<Calls, 'on'>
  /** Name of this node on the bus. */
  readonly instance: string
  readonly offer: Reach['offer']
  /** The log of this owner has grown. */
  readonly behind: (owner: Topic, head: Cursor) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/**
 * Offers pushed entries to the connections of this node. Its own come back to it and are offered then: all pushes of a user
 * arrive over one connection, in the order of the log, so that none causes a gap.
 */
export function receivePushes({ calls, instance, offer, behind, clock }: ReceiveOptions): void {
  const bodies = createSizedCache<string, string>({
    maxBytes: MAX_BODIES_BYTES,
    maxEntries: MAX_BODIES,
    bytesOf: (_, body) => 2 * body.length,
  })

  const bodyOf = (owner: Topic, text: string): string | undefined => {
    const id = referredId(text)
    return id === undefined ? text : bodies.get(`${tenantOf(owner)} ${id}`)
  }

  const keep = (text: string): string => {
    const end = text.indexOf('\n')
    bodies.set(text.slice(0, end), text.slice(end + 1))
    return ''
  }

  const receive: AnswerCall = (text, topic, from) => {
    const owner = topic as Topic
    const { cursor, repeated, elapsedMs, acceptedAt, body: given } = parsePush(text)
    const body = bodyOf(owner, given)
    if (body === undefined) {
      // Its connections read the entry from the log.
      behind(owner, cursor)
      return reachText(NOBODY)
    }
    const since = from === instance ? acceptedAt : clock.monotonic() - elapsedMs
    const offered = offer([{ owner, cursor, repeated }], body, since)
    return whenReady(offered, ([only = NOBODY]) => reachText(only))
  }

  calls.on(BODY, keep, true)
  calls.on(PUSH, receive, true)
}
