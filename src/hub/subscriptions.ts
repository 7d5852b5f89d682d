import { channelOf } from '../notification/topic.ts'
import type { Connection } from './connection.ts'

/** The channels of a connection, in the order of its subscriptions. */
export const subscriptionsOf = ({ channels = new Set(), principal }: Connection): readonly string[] =>
  [...channels].flatMap(topic => channelOf(topic, principal.tenant) ?? [])
