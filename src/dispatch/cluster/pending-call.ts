import { ALL_NODES, type BusTopic } from '../../bus/bus.ts'
import type { Answers } from './answers.ts'

/** A call, from its beginning to its last answer or deadline. */
export interface PendingCall {
  readonly texts: string[]
  own: string | undefined
  /** Instances, this one included. */
  readonly answered: string[]
  topic: BusTopic
  /** Subscribers that the message reached; undefined until it is known. */
  nodes: number | undefined
  /** Subscribers that are no nodes. */
  foreign: number
  /** Instances that will answer; undefined while all subscribers may. */
  awaited: readonly string[] | undefined
  endsAt: number
  done: ((answers: Answers) => void) | undefined
}

export const newCall = (): PendingCall => ({
  texts: [],
  own: undefined,
  answered: [],
  topic: ALL_NODES,
  nodes: undefined,
  foreign: 0,
  awaited: undefined,
  endsAt: 0,
  done: undefined,
})

export const missingOf = ({ nodes = 0, foreign, answered }: PendingCall): number =>
  Math.max(0, nodes - foreign - answered.length)

/** Whether all have answered but this many silent nodes, or fewer. */
export const lacksOnly = (call: PendingCall, silent: number): boolean =>
  call.awaited?.every(each => call.answered.includes(each)) === true && missingOf(call) <= silent
