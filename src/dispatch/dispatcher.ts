import { storeUnavailable } from '../errors.ts'
import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Cursor } from '../notification/cursor.ts'
import { crowdFrame, encode, type Frame, userFrame } from '../notification/frame.ts'
import { expiryOf, isExpired, type Notification } from '../notification/notification.ts'
import { type Envelope, routeOf } from '../notification/target.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { AppendResult, Draft } from '../store/store.ts'
import type { Crowd, CrowdOutcome } from './crowd.ts'
import type { Delivery, OfferResult } from './delivery.ts'
import type { TracedLog } from './observed/spans.ts'

export type Status = 'delivered' | 'partial' | 'queued' | 'no_recipient' | 'expired'

/** What became of a notification by the time its caller is answered. */
export interface Outcome {
  readonly notificationId: string
  /** Connections it was handed to. */
  readonly deliveredTo: number
  /** Connections that refused it. */
  readonly failed: number
  /** Users it is kept for who have not got it on any connection. */
  readonly queued: number
  readonly status: Status
}

/** The one way in: everything that sends calls it, nothing else delivers. Rejects with STORE_UNAVAILABLE when the log did not take it. */
export type Dispatch = (envelope: Envelope) => Promise<Outcome>

interface DispatcherOptions {
  readonly hub: Hub
  readonly crowd: Crowd
  readonly delivery: Pick<Delivery, 'offer'>
  /** Absent: users get only what they are connected for. */
  readonly log: Pick<TracedLog, 'append'> | undefined
  /** Whether it is also kept for users who are not connected. */
  readonly keepsForAll: boolean
  /** An entry was handed over live. */
  readonly onHanded: (owner: Topic, cursor: Cursor) => void
  /** Told who gets what no log holds, right before; absent when nobody asks for it. */
  readonly beforeUnlogged?: ((id: string, connections: Iterable<Connection>) => void) | undefined
  /** So many connections were handed it live, so long after its acceptance. */
  readonly onLive: (connections: number, ms: number) => void
  readonly clock: Clock
}

/** What one user's connections made of it. */
interface UserOutcome {
  readonly delivered: number
  readonly failed: number
  /** One of them has it, now or from before. */
  readonly has: boolean
  readonly kept: boolean
}

/** Of a user without any connection. */
const KEPT: UserOutcome = { delivered: 0, failed: 0, has: false, kept: true }

const isHanded = (offered: OfferResult): boolean => offered === 'sent' || offered === 'buffered'

/** What a replay has brought before the offer counts by it, unless the entry is older than this send. */
function tally(offers: Iterable<OfferResult>, isRepeated: boolean): UserOutcome {
  let delivered = 0
  let failed = 0
  let has = false
  for (const offered of offers) {
    if (offered === 'refused') failed++
    else if (offered !== 'later') {
      has = true
      if (offered !== 'known' || !isRepeated) delivered++
    }
  }
  return { delivered, failed, has, kept: true }
}

/** `addressed` counts those too for whom nothing was even tried. */
function usersOutcome(
  notificationId: string,
  users: readonly UserOutcome[],
  addressed = users.length,
): Outcome {
  let got = 0
  let queued = 0
  let deliveredTo = 0
  let failed = 0
  for (const user of users) {
    if (user.has) got++
    else if (user.kept) queued++
    deliveredTo += user.delivered
    failed += user.failed
  }
  return { notificationId, deliveredTo, failed, queued, status: statusOf(addressed, got, queued) }
}

function statusOf(users: number, got: number, queued: number): Status {
  if (got > 0) return got === users ? 'delivered' : 'partial'
  return queued > 0 ? 'queued' : 'no_recipient'
}

/** Users and bytes delivered in one turn of the event loop. */
const USERS_PER_TURN = 250
const BYTES_PER_TURN = 4 * 1024 * 1024

/** Works in turns: a send to ten thousand users must not delay other callers. */
function reachEach<T>(
  items: readonly T[],
  body: string,
  reach: (item: T, index: number) => UserOutcome,
): readonly UserOutcome[] | Promise<readonly UserOutcome[]> {
  const perTurn = Math.max(1, Math.min(USERS_PER_TURN, Math.floor(BYTES_PER_TURN / body.length)))
  if (items.length <= perTurn) return items.map(reach)
  const reached: UserOutcome[] = []
  return inTurns(items, item => reached.push(reach(item, reached.length)), perTurn).then(() => reached)
}

export function createDispatcher({
  hub,
  crowd,
  delivery,
  log,
  keepsForAll,
  onHanded,
  beforeUnlogged,
  onLive,
  clock,
}: DispatcherOptions): Dispatch {
  const draftOf = ({ tenant, notification, span }: Envelope, user: string, body: string): Draft => {
    const expiresAt = expiryOf(notification)
    const owner = userTopic(tenant, user)
    return {
      owner,
      id: notification.id,
      body,
      eventType: notification.eventType,
      occurredAt: notification.occurredAt,
      priority: notification.priority,
      ...(expiresAt !== undefined && { expiresAt }),
      ...(span?.isKept && { traceparent: span.traceparent }),
    }
  }

  const tellLive = (connections: number, acceptedAt: number): void => {
    if (connections > 0) onLive(connections, clock.monotonic() - acceptedAt)
  }

  /** Past the log: to those who are live now. */
  const writeToLive = (owner: Topic, id: string, frame: Frame, acceptedAt: number): UserOutcome => {
    let delivered = 0
    let failed = 0
    for (const connection of hub.members(owner)) {
      if (connection.phase !== 'live') continue
      beforeUnlogged?.(id, [connection])
      if (connection.write(frame) !== 'refused') delivered++
      else {
        failed++
        connection.cut()
      }
    }
    tellLive(delivered, acceptedAt)
    return { delivered, failed, has: delivered > 0, kept: false }
  }

  const offer = (draft: Draft, appended: AppendResult | undefined, acceptedAt: number): UserOutcome => {
    if (appended === undefined) throw new Error('the log answered fewer entries than it was given')
    const { owner, body } = draft
    const { cursor, repeated } = appended
    const members = hub.members(owner)
    if (members.size === 0) return KEPT
    const frame = userFrame(body, cursor)
    const offers = [...members].map(connection => delivery.offer(connection, cursor, frame, !repeated))
    const handed = offers.filter(isHanded).length
    if (handed > 0) onHanded(owner, cursor)
    tellLive(handed, acceptedAt)
    return tally(offers, repeated)
  }

  const toUsers = async (
    envelope: Envelope,
    users: readonly string[],
    acceptedAt: number,
  ): Promise<Outcome> => {
    const { tenant, notification, span } = envelope
    const body = encode(notification)
    if (log === undefined || notification.ttl === 0) {
      const frame = crowdFrame(body)
      const reached = reachEach(users, body, user =>
        writeToLive(userTopic(tenant, user), notification.id, frame, acceptedAt),
      )
      return usersOutcome(notification.id, reached instanceof Promise ? await reached : reached)
    }
    const kept = keepsForAll ? users : users.filter(user => hub.members(userTopic(tenant, user)).size > 0)
    const drafts = kept.map(user => draftOf(envelope, user, body))
    const appended = await log.append(drafts, span).catch(storeUnavailable)
    const reached = reachEach(drafts, body, (draft, n) => offer(draft, appended[n], acceptedAt))
    return usersOutcome(notification.id, reached instanceof Promise ? await reached : reached, users.length)
  }

  const toCrowd = async ({ id }: Notification, sent: Promise<CrowdOutcome>): Promise<Outcome> => {
    const { delivered, failed } = await sent
    const status = delivered > 0 ? 'delivered' : 'no_recipient'
    return { notificationId: id, deliveredTo: delivered, failed, queued: 0, status }
  }

  return envelope => {
    const { notification, acceptedAt = clock.monotonic() } = envelope
    if (isExpired(notification, clock.now()))
      return Promise.resolve({
        notificationId: notification.id,
        deliveredTo: 0,
        failed: 0,
        queued: 0,
        status: 'expired',
      })
    const route = routeOf(envelope)
    if ('users' in route) return toUsers(envelope, route.users, acceptedAt)
    const before =
      beforeUnlogged && ((reached: Iterable<Connection>) => beforeUnlogged(notification.id, reached))
    const frame = crowdFrame(encode(notification))
    const after = (connections: number) => tellLive(connections, acceptedAt)
    return toCrowd(notification, crowd.send(route.crowd, frame, { accept: route.accept, before, after }))
  }
}
