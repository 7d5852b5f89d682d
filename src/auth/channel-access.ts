import type { Principal } from '../notification/principal.ts'

/** `open`: a token that says nothing of channels allows all of its tenant; `claims`: it allows none. */
export type ChannelAccess = 'open' | 'claims'

const fits = (pattern: string, channel: string): boolean =>
  pattern.endsWith('*') ? channel.startsWith(pattern.slice(0, -1)) : pattern === channel

/** A pattern is an exact name, or a beginning followed by one final `*`. */
export const mayHear = ({ channels }: Principal, channel: string, access: ChannelAccess): boolean =>
  channels === undefined ? access === 'open' : channels.some(pattern => fits(pattern, channel))
