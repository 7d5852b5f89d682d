import type { BusTopic } from '../../bus/bus.ts'
import { StoreAway } from '../../errors.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { NodesResult } from '../census.ts'
import type { Calls } from './calls.ts'

/** Answers of the other nodes, in no order. While the bus is away there are none, and `partial` is true. */
export interface NodeAnswers<A> extends NodesResult {
  readonly answers: readonly A[]
}

export type AskNodes<Q, A> = (topic: BusTopic, question: Q) => Promise<NodeAnswers<A>>

/** Answers questions of a kind from other nodes, and asks them. Questions and answers travel as JSON. */
export function createQuestion<Q, A>(
  calls: Pick<Calls, 'on' | 'ask'>,
  kind: string,
  answer: (question: Q, topic: BusTopic) => Awaitable<A>,
): AskNodes<Q, A> {
  calls.on(kind, async (text, topic) => JSON.stringify(await answer(JSON.parse(text) as Q, topic)))

  return async (topic, question) => {
    try {
      const { texts, missing } = await calls.ask(topic, kind, JSON.stringify(question))
      // A node of another version may not know the question.
      const given = texts.filter(text => text !== '')
      const partial = missing > 0 || given.length < texts.length ? true : undefined
      return { answers: given.map(text => JSON.parse(text) as A), partial }
    } catch (error) {
      if (error instanceof StoreAway) return { answers: [], partial: true }
      throw error
    }
  }
}
