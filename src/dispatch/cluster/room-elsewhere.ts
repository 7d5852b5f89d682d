import type { Topic } from '../../notification/topic.ts'
import type { Calls } from './calls.ts'
import { createQuestion } from './question.ts'

/** Room for one more connection of a user who is connected to other nodes. */
export interface RoomElsewhere {
  /** Sets what this node does for others: it begins to look for a vanished stream of the owner. False without a stream. */
  onAsked(look: (owner: Topic) => boolean): void
  /** Asks other nodes to look; resolves with whether any of them does. */
  ask(owner: Topic): Promise<boolean>
}

export function createRoomElsewhere(calls: Pick<Calls, 'on' | 'ask'>): RoomElsewhere {
  let look = (_: Topic): boolean => false
  const ask = createQuestion<null, boolean>(calls, 'room', (_, topic) => look(topic as Topic))
  return {
    onAsked: given => {
      look = given
    },
    ask: async owner => {
      const { answers } = await ask(owner, null)
      return answers.some(looks => looks)
    },
  }
}
