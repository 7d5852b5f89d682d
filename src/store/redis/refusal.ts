import { ReplyError } from 'ioredis'
import { StoreAway } from '../../errors.ts'

/**
 * What Redis answers when it is there and does not carry a command out: no memory, no disk, no replica, no right. `LATE` comes
 * from our scripts. Redis 6.2 puts the code of an error inside a script behind other words.
 */
const STATE =
  /(?:^|[\s-])(?:OOM|READONLY|LOADING|MISCONF|NOREPLICAS|MASTERDOWN|BUSY|NOAUTH|NOPERM|CLUSTERDOWN|TRYAGAIN|NOSCRIPT|LATE)\b/
const FOREIGN = /\bWRONGTYPE\b/

/** Whether what Redis holds may be to blame: a key of another kind, or a script that could not read what it found. */
export const isDamage = ({ message }: Error): boolean =>
  FOREIGN.test(message) || (message.includes('user_script') && !STATE.test(message))

/** Turns a refusal into `StoreAway`. Any other error reply is a fault of our scripts and stays what it is. */
export const refusalOf = (error: Error): Error =>
  error instanceof ReplyError && (STATE.test(error.message) || FOREIGN.test(error.message))
    ? new StoreAway(error.message, { cause: error })
    : error
