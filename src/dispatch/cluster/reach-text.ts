import type { UserReach } from '../reach.ts'
import type { Answers } from './answers.ts'

export const NOBODY: UserReach = { delivered: 0, failed: 0, has: false }

const NOBODY_TEXT = '0 0 0'

/** The result of one node for one user, as an answer. */
export const reachText = ({ delivered, failed, has }: UserReach): string =>
  `${delivered} ${failed} ${has ? 1 : 0}`

function addText(sum: UserReach, text: string): UserReach {
  if (text === NOBODY_TEXT || text === '') return sum
  const [delivered = 0, failed = 0, has = 0] = text.split(' ').map(Number)
  return { delivered: sum.delivered + delivered, failed: sum.failed + failed, has: sum.has || has > 0 }
}

/** Adds up the results of all nodes for one user. `here` is set when this node did not answer its own call. */
export function sumReach({ texts, own }: Answers, here: UserReach = NOBODY): UserReach {
  const sum = texts.reduce(addText, here)
  return own === undefined ? sum : addText(sum, own)
}
