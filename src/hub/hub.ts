import { kindOf, type Topic, type TopicKind, tenantTopic, userTopic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import { Room } from './room.ts'

/** Every connection of this node, found by topic. All counts are read off it. */
export interface Hub<C extends Connection = Connection> {
  readonly size: number
  /** Joins its user's and its tenant's room: it counts, but hears nothing of the crowd yet. */
  open(connection: C): void
  /** From now on crowd frames reach it. */
  hear(connection: Connection): void
  /** Leaves every room. */
  end(connection: Connection): void
  join(connection: Connection, topic: Topic): void
  leave(connection: Connection, topic: Topic): void
  room(topic: Topic): Room | undefined
  /** Those of a kind that have a member. */
  rooms(kind: TopicKind): Iterable<Room>
  members(topic: Topic): ReadonlySet<Connection>
  connections(): Iterable<C>
  has(connection: Connection): boolean
  /** How many topics of a kind have a member: users connected, channels with a subscriber. */
  count(kind: TopicKind): number
}

const NOBODY: ReadonlySet<Connection> = new Set()

export function createHub<C extends Connection>(): Hub<C> {
  const connections = new Set<C>()
  const has = (connection: Connection): boolean => (connections as Set<Connection>).has(connection)
  const rooms: Readonly<Record<TopicKind, Map<Topic, Room>>> = {
    user: new Map(),
    tenant: new Map(),
    channel: new Map(),
  }
  const find = (topic: Topic): Room | undefined => rooms[kindOf(topic)].get(topic)

  const roomOf = (topic: Topic): Room => {
    const known = find(topic)
    if (known !== undefined) return known
    const room = new Room(topic)
    rooms[kindOf(topic)].set(topic, room)
    return room
  }

  const enter = (connection: Connection, topic: Topic): Room => {
    const room = roomOf(topic)
    room.members.add(connection)
    connection.rooms.set(topic, room)
    return room
  }

  const leave = (connection: Connection, topic: Topic): void => {
    const room = connection.rooms.get(topic)
    if (room === undefined) return
    connection.rooms.delete(topic)
    room.remove(connection)
    if (room.members.size === 0) rooms[kindOf(topic)].delete(topic)
  }

  return {
    get size() {
      return connections.size
    },
    open: connection => {
      const { tenant, user } = connection.principal
      connections.add(connection)
      enter(connection, userTopic(tenant, user))
      enter(connection, tenantTopic(tenant))
    },
    hear: connection => connection.rooms.get(tenantTopic(connection.principal.tenant))?.listen(connection),
    end: connection => {
      ;(connections as Set<Connection>).delete(connection)
      for (const topic of connection.rooms.keys()) leave(connection, topic)
    },
    join: (connection, topic) => {
      // A subscribe that outlived its connection must not bring it back into an index.
      if (has(connection)) enter(connection, topic).listen(connection)
    },
    leave,
    room: find,
    rooms: kind => rooms[kind].values(),
    members: topic => find(topic)?.members ?? NOBODY,
    connections: () => connections,
    has,
    count: kind => rooms[kind].size,
  }
}
