import { kindOf, type Topic, type TopicKind, tenantTopic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import { createDirectory, type Directory } from './directory.ts'
import { MemberSet, type Members } from './members.ts'
import { Room } from './room.ts'

/** The index of this node's connections by topic. All counts come from it. */
export interface Hub<C extends Connection = Connection> {
  readonly size: number
  /** Open connections by transport. */
  readonly transports: Readonly<Record<Connection['transport'], number>>
  /** Tenants and users with a connection, and channels with a subscriber. */
  readonly directory: Omit<Directory, 'opened' | 'closed'>
  /** Joins the rooms of its user and tenant. It counts, but receives no crowd frames yet. */
  open(connection: C): void
  /** Starts to deliver crowd frames to it. */
  listen(connection: Connection): void
  /** Removes it from every room. */
  end(connection: Connection): void
  join(connection: Connection, topic: Topic): void
  leave(connection: Connection, topic: Topic): void
  room(topic: Topic): Room | undefined
  /** Rooms of a kind with a member. */
  rooms(kind: TopicKind): Iterable<Room>
  members(topic: Topic): Members
  connections(): Iterable<C>
  has(connection: Connection): boolean
  isIn(connection: Connection, topic: Topic): boolean
  /** Counts the topics of a kind with a member, such as connected users. */
  count(kind: TopicKind): number
}

/** Called for each topic that gets its first connection or loses its last. */
export interface RoomWatch {
  readonly opened: (topic: Topic) => void
  readonly closed: (topic: Topic) => void
}

const NOBODY: Members = new MemberSet()

export function createHub<C extends Connection>(watch?: RoomWatch): Hub<C> {
  const transports = { ws: 0, sse: 0 }
  const directory = createDirectory()
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
    directory.opened(topic)
    watch?.opened(topic)
    return room
  }

  const enter = (connection: Connection, topic: Topic): Room => {
    const room = roomOf(topic)
    room.add(connection)
    return room
  }

  const members = (topic: Topic): Members => find(topic) ?? NOBODY
  const has = (connection: Connection): boolean => members(connection.owner).has(connection)

  /** Every connection is in one room of a tenant: an own set would take 50 bytes for each. */
  function* connections(): Generator<C> {
    for (const room of rooms.tenant.values()) yield* room as Iterable<C>
  }

  const leave = (connection: Connection, topic: Topic): void => {
    const room = find(topic)
    if (room === undefined) return
    connection.channels?.delete(topic)
    room.delete(connection)
    if (room.size > 0) return
    rooms[kindOf(topic)].delete(topic)
    directory.closed(topic)
    watch?.closed(topic)
  }

  return {
    get size() {
      return transports.ws + transports.sse
    },
    transports,
    directory,
    open: connection => {
      transports[connection.transport]++
      enter(connection, connection.owner)
      enter(connection, tenantTopic(connection.principal.tenant))
    },
    listen: connection => find(tenantTopic(connection.principal.tenant))?.listen(connection),
    end: connection => {
      if (has(connection)) transports[connection.transport]--
      leave(connection, connection.owner)
      leave(connection, tenantTopic(connection.principal.tenant))
      for (const topic of connection.channels ?? []) leave(connection, topic)
    },
    join: (connection, topic) => {
      // A subscribe can outlive its connection: it must not bring it back into an index.
      if (!has(connection)) return
      connection.channels ??= new Set()
      connection.channels.add(topic)
      enter(connection, topic).listen(connection)
    },
    leave,
    room: find,
    rooms: kind => rooms[kind].values(),
    members,
    connections,
    has,
    isIn: (connection, topic) => members(topic).has(connection),
    count: kind => rooms[kind].size,
  }
}
