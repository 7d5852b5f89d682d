import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import type { Clock } from '../lib/time/clock.ts'
import { acceptOf } from '../notification/audience.ts'
import type { Cursor } from '../notification/cursor.ts'
import { crowdFrame, type Frame, redeliveredFrame, userFrame } from '../notification/frame.ts'
import { type Topic, tenantOf, tenantTopic, userTopic } from '../notification/topic.ts'
import type { Census } from './census.ts'
import type { Crowd } from './crowd.ts'
import type { CrowdAcks } from './crowd-acks.ts'
import type { Delivery } from './delivery.ts'
import type { LoggedEntry, Reach, UserReach } from './reach.ts'

interface LocalReachOptions {
  readonly hub: Hub
  readonly crowd: Crowd
  readonly census: Census
  readonly offer: Delivery['offer']
  /** An entry was handed over live. */
  readonly onHanded: (owner: Topic, cursor: Cursor) => void
  /** Absent when acknowledgement is off. */
  readonly crowdAcks: Pick<CrowdAcks, 'expect' | 'ack'> | undefined
  /** Called with the numbers of connections of the topic's tenant that took and refused a frame. */
  readonly onWritten: (topic: Topic, delivered: number, failed: number) => void
  /** Called with the connections that took a message live, and the time since its acceptance. */
  readonly onLive: (connections: number, ms: number) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/** The result for a user without a connection. */
const AWAY: UserReach = { delivered: 0, failed: 0, has: false }

/** Users and bytes delivered in one turn of the event loop. */
const USERS_PER_TURN = 250
const BYTES_PER_TURN = 4 * 1024 * 1024

/** Works in turns: a send to ten thousand users must not delay other callers. */
function reachEach<T>(
  items: readonly T[],
  body: string,
  reach: (item: T) => UserReach,
): Awaitable<readonly UserReach[]> {
  const perTurn = Math.max(1, Math.min(USERS_PER_TURN, Math.floor(BYTES_PER_TURN / body.length)))
  if (items.length <= perTurn) return items.map(reach)
  const reached: UserReach[] = []
  return inTurns(items, item => reached.push(reach(item)), perTurn).then(() => reached)
}

function* ownersOf(connections: Iterable<Connection>): Generator<Topic> {
  for (const { principal } of connections) yield userTopic(principal.tenant, principal.user)
}

const isLiveSocket = ({ transport, phase }: Connection): boolean => transport === 'ws' && phase === 'live'

/** Reaches the connections of this node. */
export function createLocalReach(options: LocalReachOptions): Reach {
  const { hub, crowd, census, offer, onHanded, crowdAcks, onWritten, onLive, clock } = options

  const report = (topic: Topic, delivered: number, failed: number): void => {
    if (delivered + failed > 0) onWritten(topic, delivered, failed)
  }

  const reportLive = (topic: Topic, delivered: number, failed: number, acceptedAt: number): void => {
    report(topic, delivered, failed)
    if (delivered > 0) onLive(delivered, clock.monotonic() - acceptedAt)
  }

  /** `known` counts unless the log knew the entry before this send. */
  const offerTo = ({ owner, cursor, repeated }: LoggedEntry, body: string, acceptedAt: number): UserReach => {
    const members = hub.members(owner)
    if (members.size === 0) return AWAY
    const frame = userFrame(body, cursor)
    let handed = 0
    let failed = 0
    let known = 0
    for (const connection of members) {
      const offered = offer(connection, cursor, frame)
      if (offered === 'refused') failed++
      else if (offered === 'known') known++
      else if (offered !== 'later') handed++
    }
    if (handed > 0) onHanded(owner, cursor)
    reportLive(owner, handed, failed, acceptedAt)
    return { delivered: repeated ? handed : handed + known, failed, has: handed + known > 0 }
  }

  const writeTo = (owner: Topic, id: string, frame: Frame, acceptedAt: number): UserReach => {
    const members = hub.members(owner)
    if (members.size === 0) return AWAY
    let delivered = 0
    let failed = 0
    for (const connection of members) {
      if (connection.phase !== 'live') continue
      crowdAcks?.expect(id, [owner])
      if (connection.write(frame) !== 'refused') delivered++
      else {
        failed++
        connection.cut()
      }
    }
    reportLive(owner, delivered, failed, acceptedAt)
    return { delivered, failed, has: delivered > 0 }
  }

  return {
    census,
    offer: (entries, body, acceptedAt) => reachEach(entries, body, entry => offerTo(entry, body, acceptedAt)),
    write: (owners, { id, body, acceptedAt }) => {
      const frame = crowdFrame(body)
      return reachEach(owners, body, owner => writeTo(owner, id, frame, acceptedAt))
    },
    writeOne: (owner, { id, body, acceptedAt }) => writeTo(owner, id, crowdFrame(body), acceptedAt),
    publish: ({ topics, audience }, { id, body, acceptedAt }) => {
      const [first] = topics
      return crowd.send(topics, crowdFrame(body), {
        accept: audience && first && acceptOf(audience, tenantOf(first)),
        before: crowdAcks && (connections => crowdAcks.expect(id, ownersOf(connections))),
        after: ({ delivered, failed }) => first && reportLive(first, delivered, failed, acceptedAt),
      })
    },
    redeliver: ({ owner, cursor, body, redelivered }) => {
      const frame = redeliveredFrame(body, cursor, redelivered)
      let delivered = 0
      let failed = 0
      for (const socket of hub.members(owner)) {
        // A connection behind this entry gets it from the log.
        if (!isLiveSocket(socket) || socket.epoch !== cursor.epoch || socket.position < cursor.seq) continue
        if (socket.write(frame) !== 'refused') delivered++
        else {
          failed++
          socket.cut()
        }
      }
      report(owner, delivered, failed)
      return { delivered, failed }
    },
    acknowledge: (owner, ids) => ids.map(id => crowdAcks?.ack(id, owner) ?? 'unknown'),
    acknowledgeElsewhere: () => undefined,
    areConnected: owners => owners.map(owner => hub.members(owner).size > 0),
    hasLiveSocket: owner => {
      for (const connection of hub.members(owner)) if (isLiveSocket(connection)) return true
      return false
    },
    close: (owner, reason, text) => {
      const closed = [...hub.members(owner)]
      for (const connection of closed) connection.close(reason, text)
      return closed.length
    },
    openConnections: (tenant, owner) => ({
      tenant: hub.members(tenantTopic(tenant)).size,
      user: hub.members(owner).size,
    }),
    countElsewhere: () => undefined,
  }
}
