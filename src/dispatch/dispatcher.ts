import { storeUnavailable } from '../errors.ts'
import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { encode } from '../notification/frame.ts'
import { expiryOf, isExpired } from '../notification/notification.ts'
import { type Envelope, routeOf } from '../notification/target.ts'
import { userTopic } from '../notification/topic.ts'
import type { AppendResult, Draft } from '../store/store.ts'
import type { TracedLog } from './observed/spans.ts'
import type { CrowdAddress, LoggedEntry, Reach, UserReach } from './reach.ts'

export type Status = 'delivered' | 'partial' | 'queued' | 'no_recipient' | 'expired'

/** The state of a notification when its caller is answered. */
export interface Outcome {
  readonly notificationId: string
  /** Connections that took it. */
  readonly deliveredTo: number
  /** Connections that refused it. */
  readonly failed: number
  /** Users with a kept entry and no connection that has it. */
  readonly queued: number
  readonly status: Status
}

/**
 * The only way to send; nothing else delivers. Throws or rejects with STORE_UNAVAILABLE if the append fails. A send past
 * the log to connections of this node ends in this turn, without a promise.
 */
export type Dispatch = (envelope: Envelope) => Awaitable<Outcome>

interface DispatcherOptions {
  readonly reach: Pick<Reach, 'offer' | 'write' | 'writeOne' | 'publish' | 'areConnected'>
  /** Absent when the log is off: then sends reach live connections only. */
  readonly log: Pick<TracedLog, 'append'> | undefined
  /** Append for users without a connection too. */
  readonly keepsForAll: boolean
  readonly clock: Clock
}

/** Sums up the users. `addressed` also counts users without an entry. */
function usersOutcome(
  notificationId: string,
  users: readonly UserReach[],
  { addressed, isKept }: { readonly addressed: number; readonly isKept: boolean },
): Outcome {
  let got = 0
  let deliveredTo = 0
  let failed = 0
  for (const user of users) {
    if (user.has) got++
    deliveredTo += user.delivered
    failed += user.failed
  }
  const queued = isKept ? users.length - got : 0
  return { notificationId, deliveredTo, failed, queued, status: statusOf(addressed, got, queued) }
}

function statusOf(users: number, got: number, queued: number): Status {
  if (got > 0) return got === users ? 'delivered' : 'partial'
  return queued > 0 ? 'queued' : 'no_recipient'
}

const oneOutcome = (notificationId: string, { delivered, failed, has }: UserReach): Outcome => ({
  notificationId,
  deliveredTo: delivered,
  failed,
  queued: 0,
  status: has ? 'delivered' : 'no_recipient',
})

function entryOf({ owner }: Draft, appended: AppendResult | undefined): LoggedEntry {
  if (appended === undefined) throw new Error('the log returned fewer entries than it was given')
  const { cursor, repeated, push } = appended
  return { owner, cursor, repeated, push }
}

export function createDispatcher({ reach, log, keepsForAll, clock }: DispatcherOptions): Dispatch {
  const draftOf = (
    { tenant, notification, span }: Envelope,
    user: string,
    body: string,
    acceptedAt: number,
  ): Draft => {
    const expiresAt = expiryOf(notification)
    const draft: { -readonly [K in keyof Draft]: Draft[K] } = {
      owner: userTopic(tenant, user),
      id: notification.id,
      body,
      eventType: notification.eventType,
      occurredAt: notification.occurredAt,
      priority: notification.priority,
      acceptedAt,
    }
    // Assignments: spreading mostly absent fields would cost more than all the rest.
    if (expiresAt !== undefined) draft.expiresAt = expiresAt
    if (span?.isKept) draft.traceparent = span.traceparent
    return draft
  }

  const connectedOf = (tenant: string, users: readonly string[]): Awaitable<readonly string[]> =>
    whenReady(reach.areConnected(users.map(user => userTopic(tenant, user))), are =>
      users.filter((_, n) => are[n]),
    )

  const writePastLog = (
    { tenant, notification, span }: Envelope,
    users: readonly string[],
    acceptedAt: number,
  ): Awaitable<Outcome> => {
    const { id } = notification
    const owners = users.map(user => userTopic(tenant, user))
    const reached = reach.write(owners, { id, body: encode(notification), acceptedAt }, span)
    const how = { addressed: users.length, isKept: false }
    return whenReady(reached, users => usersOutcome(id, users, how))
  }

  /** The commonest send of all: no lists, and no promise unless the reach needs one. */
  const writeToOne = (
    { tenant, notification, span }: Envelope,
    user: string,
    acceptedAt: number,
  ): Awaitable<Outcome> => {
    const { id } = notification
    const message = { id, body: encode(notification), acceptedAt }
    const reached = reach.writeOne(userTopic(tenant, user), message, span)
    return reached instanceof Promise ? reached.then(user => oneOutcome(id, user)) : oneOutcome(id, reached)
  }

  /** With a log in this process nothing here is a promise: the send ends in this turn. */
  const append = (
    log: Pick<TracedLog, 'append'>,
    envelope: Envelope,
    users: readonly string[],
    { addressed, acceptedAt }: { readonly addressed: number; readonly acceptedAt: number },
  ): Awaitable<Outcome> => {
    const { notification, span } = envelope
    const body = encode(notification)
    const drafts = users.map(user => draftOf(envelope, user, body, acceptedAt))
    const offer = (appended: readonly AppendResult[]): Awaitable<Outcome> => {
      const entries = drafts.map((draft, n) => entryOf(draft, appended[n]))
      return whenReady(reach.offer(entries, body, acceptedAt, span), reached =>
        usersOutcome(notification.id, reached, { addressed, isKept: true }),
      )
    }
    const appended = log.append(drafts, span)
    return appended instanceof Promise ? appended.then(offer, storeUnavailable) : offer(appended)
  }

  const toCrowd = async (
    { notification, span }: Envelope,
    crowd: CrowdAddress,
    acceptedAt: number,
  ): Promise<Outcome> => {
    const { id } = notification
    const message = { id, body: encode(notification), acceptedAt }
    const { delivered, failed } = await reach.publish(crowd, message, span)
    const status = delivered > 0 ? 'delivered' : 'no_recipient'
    return { notificationId: id, deliveredTo: delivered, failed, queued: 0, status }
  }

  return envelope => {
    const { notification, acceptedAt = clock.monotonic() } = envelope
    if (isExpired(notification, clock))
      return { notificationId: notification.id, deliveredTo: 0, failed: 0, queued: 0, status: 'expired' }
    const { target } = envelope
    const isPastLog = log === undefined || notification.ttl === 0
    if (target.type === 'user' && isPastLog) return writeToOne(envelope, target.user, acceptedAt)
    const route = routeOf(envelope)
    if (!('users' in route)) return toCrowd(envelope, route, acceptedAt)
    if (isPastLog) return writePastLog(envelope, route.users, acceptedAt)
    const how = { addressed: route.users.length, acceptedAt }
    if (keepsForAll) return append(log, envelope, route.users, how)
    return whenReady(connectedOf(envelope.tenant, route.users), users => append(log, envelope, users, how))
  }
}
