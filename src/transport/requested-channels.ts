import { type ChannelAccess, mayHear } from '../auth/channel-access.ts'
import { AppError, type Detail } from '../errors.ts'
import type { Query } from '../lib/query.ts'
import type { Principal } from '../notification/principal.ts'
import { CHANNEL_RULE, isChannel } from '../protocol/names.ts'

/** Faults of the channels that break a rule, by their place in the parameter. */
const faultsOf = (
  channels: readonly string[],
  breaks: (channel: string) => boolean,
  message: string,
): readonly Detail[] =>
  channels.flatMap((channel, n) => (breaks(channel) ? [{ path: `channels[${n}]`, message }] : []))

/** Reads `?channels=a,b`, each name once; undefined without the parameter. Throws 400 for a bad name. */
export function requestedChannels(query: Query): readonly string[] | undefined {
  const text = query.get('channels')
  if (text === null) return undefined
  const names = text === '' ? [] : text.split(',')
  const details = faultsOf(names, name => !isChannel(name), `expected ${CHANNEL_RULE}`)
  if (details.length > 0) throw new AppError('VALIDATION_ERROR', { status: 400, details })
  return [...new Set(names)]
}

/** Throws 400 with the channels beyond the limit; 0 = no limit. */
export function checkCount(channels: readonly string[], most: number): void {
  if (most === 0 || channels.length <= most) return
  const message = `expected at most ${most} channels (got ${channels.length})`
  const details = channels.slice(most).map((_, n) => ({ path: `channels[${most + n}]`, message }))
  throw new AppError('VALIDATION_ERROR', { status: 400, details })
}

/** One fault for each channel that the token does not allow. */
export const deniedChannels = (
  channels: readonly string[],
  principal: Principal,
  access: ChannelAccess,
): readonly Detail[] =>
  faultsOf(channels, channel => !mayHear(principal, channel, access), 'the token does not allow this channel')
