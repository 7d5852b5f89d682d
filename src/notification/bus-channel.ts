const USER = 'user:'

/**
 * Name of the Redis channel that carries a topic between nodes. Pub/Sub ignores the database number, so the name holds it.
 * A user's channel has the hash tag of the user's log: `ara:bus:0:user:{acme:ann}`.
 */
export const busChannel = (db: number, topic: string): string =>
  `ara:bus:${db}:${topic.startsWith(USER) ? `${USER}{${topic.slice(USER.length)}}` : topic}`

/** The topic behind a name made by `busChannel`. */
export function topicOfBusChannel(db: number, channel: string): string {
  const topic = channel.slice(busChannel(db, '').length)
  return topic.startsWith(USER) ? USER + topic.slice(USER.length + 1, -1) : topic
}
