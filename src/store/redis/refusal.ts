import { ReplyError } from 'ioredis'
import { StoreAway } from '../../errors.ts'

/**
 * What Redis answers when it is there and does not carry a command out: no memory, no disk, no replica, no right. `LATE` comes
 * from our scripts. Redis 6.2 puts the code of an error inside a script behind other words.
 */
const REFUSED =
  /(?:^|[\s-])(?:OOM|READONLY|LOADING|MISCONF|NOREPLICAS|MASTERDOWN|BUSY|NOAUTH|NOPERM|WRONGTYPE|CLUSTERDOWN|TRYAGAIN|NOSCRIPT|LATE)\b/

/** Whether a key holds another kind of value than ours. */
export const isForeign = ({ message }: Error): boolean => /\bWRONGTYPE\b/.test(message)

/** Turns a refusal into `StoreAway`. Any other error reply is a fault of our scripts and stays what it is. */
export const refusalOf = (error: Error): Error =>
  error instanceof ReplyError && REFUSED.test(error.message)
    ? new StoreAway(error.message, { cause: error })
    : error
