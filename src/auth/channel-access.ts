import type { Principal } from '../notification/principal.ts'

/** A token without the claim `channels` allows all channels (`open`) or none (`claims`). */
export type ChannelAccess = 'open' | 'claims'

const fits = (pattern: string, channel: string): boolean =>
  pattern.endsWith('*') ? channel.startsWith(pattern.slice(0, -1)) : pattern === channel

/** Whether a client may subscribe. A pattern is an exact name or a prefix and a final `*`. */
export const mayHear = ({ channels }: Principal, channel: string, access: ChannelAccess): boolean =>
  channels === undefined ? access === 'open' : channels.some(pattern => fits(pattern, channel))
