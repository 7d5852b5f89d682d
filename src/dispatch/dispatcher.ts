import { AppError } from '../errors.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import { crowdFrame, encode, type Frame, userFrame } from '../notification/frame.ts'
import { expiryOf, isExpired, type Notification } from '../notification/notification.ts'
import { type Envelope, routeOf } from '../notification/target.ts'
import { userTopic } from '../notification/topic.ts'
import type { Draft, Log } from '../store/store.ts'
import type { Crowd, Handed } from './crowd.ts'
import type { Delivery, Offered } from './delivery.ts'

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
  readonly log: Pick<Log, 'append'> | undefined
  readonly clock: Clock
}

/** What one user's connections made of it. */
interface Reached {
  readonly delivered: number
  readonly failed: number
  readonly kept: boolean
}

function tally(offers: Iterable<Offered>, kept: boolean): Reached {
  let delivered = 0
  let failed = 0
  for (const offered of offers) {
    if (offered === 'refused') failed++
    else if (offered !== 'later') delivered++
  }
  return { delivered, failed, kept }
}

function usersOutcome(notificationId: string, users: readonly Reached[]): Outcome {
  let [got, queued, deliveredTo, failed] = [0, 0, 0, 0]
  for (const user of users) {
    if (user.delivered > 0) got++
    else if (user.kept) queued++
    deliveredTo += user.delivered
    failed += user.failed
  }
  return { notificationId, deliveredTo, failed, queued, status: statusOf(users.length, got, queued) }
}

function statusOf(users: number, got: number, queued: number): Status {
  if (got > 0) return got === users ? 'delivered' : 'partial'
  return queued > 0 ? 'queued' : 'no_recipient'
}

const unavailable = (cause: unknown): never => {
  throw new AppError('STORE_UNAVAILABLE', { headers: { 'retry-after': '1' }, cause })
}

export function createDispatcher({ hub, crowd, delivery, log, clock }: DispatcherOptions): Dispatch {
  const draftOf = (tenant: string, user: string, notification: Notification, body: string): Draft => {
    const expiresAt = expiryOf(notification)
    const owner = userTopic(tenant, user)
    return {
      owner,
      id: notification.id,
      body,
      priority: notification.priority,
      ...(expiresAt !== undefined && { expiresAt }),
    }
  }

  /** Past the log: to those who are live now. */
  const writeToLive = (tenant: string, user: string, frame: Frame): Reached => {
    let delivered = 0
    let failed = 0
    for (const connection of hub.members(userTopic(tenant, user))) {
      if (connection.phase !== 'live') continue
      if (connection.write(frame) !== 'refused') delivered++
      else {
        failed++
        connection.cut()
      }
    }
    return { delivered, failed, kept: false }
  }

  const toUsers = async ({ tenant, notification }: Envelope, users: readonly string[]): Promise<Outcome> => {
    const body = encode(notification)
    if (log === undefined || notification.ttl === 0) {
      const frame = crowdFrame(body)
      return usersOutcome(
        notification.id,
        users.map(user => writeToLive(tenant, user, frame)),
      )
    }
    const drafts = users.map(user => draftOf(tenant, user, notification, body))
    const appended = await log.append(drafts).catch(unavailable)
    const reached = drafts.map(({ owner }, n) => {
      const cursor = appended[n]?.cursor
      if (cursor === undefined) throw new Error('the log answered fewer entries than it was given')
      const frame = userFrame(body, cursor)
      return tally(
        [...hub.members(owner)].map(connection => delivery.offer(connection, cursor, frame)),
        true,
      )
    })
    return usersOutcome(notification.id, reached)
  }

  const toCrowd = async ({ id }: Notification, sent: Promise<Handed>): Promise<Outcome> => {
    const { delivered, failed } = await sent
    const status = delivered > 0 ? 'delivered' : 'no_recipient'
    return { notificationId: id, deliveredTo: delivered, failed, queued: 0, status }
  }

  return envelope => {
    const { notification } = envelope
    if (isExpired(notification, clock.now()))
      return Promise.resolve({
        notificationId: notification.id,
        deliveredTo: 0,
        failed: 0,
        queued: 0,
        status: 'expired',
      })
    const route = routeOf(envelope)
    if ('users' in route) return toUsers(envelope, route.users)
    return toCrowd(notification, crowd.send(route.crowd, crowdFrame(encode(notification)), route.accept))
  }
}
