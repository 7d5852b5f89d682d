import * as v from 'valibot'
import { listOf, rule } from '../lib/json/document.ts'
import { CHANNEL_RULE, isChannel, isUserId, NAME_RULES, USER_ID_RULE } from './names.ts'

/** Names that one send or one audience may list. */
export const MAX_NAMED = { users: 10_000, channels: 100, roles: 100 } as const

export const userId = v.pipe(v.string(), rule(isUserId, USER_ID_RULE, NAME_RULES.userId))
export const channelName = v.pipe(v.string(), rule(isChannel, CHANNEL_RULE, NAME_RULES.channel))
// An over-long list passes these schemas: `lengthFault` rejects it.
export const userIds = listOf(userId, MAX_NAMED.users)
export const channelNames = listOf(channelName, MAX_NAMED.channels)

export const audience = v.variant('type', [
  v.object({ type: v.literal('All') }),
  v.object({ type: v.literal('Roles'), value: listOf(v.string(), MAX_NAMED.roles) }),
  v.object({ type: v.literal('Users'), value: userIds }),
  v.object({ type: v.literal('Channels'), value: channelNames }),
])
