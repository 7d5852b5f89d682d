/** The answer to one call. */
export type Answer = readonly [id: number, text: string]

/** Gathers the answers of one turn: each node that asked gets them in one message. */
export function createOutbox(send: (origin: string, answers: readonly Answer[]) => void) {
  const waiting = new Map<string, Answer[]>()

  const flush = (): void => {
    const all = [...waiting]
    waiting.clear()
    for (const [origin, answers] of all) send(origin, answers)
  }

  return {
    reply: (origin: string, id: number, text: string): void => {
      // Before the end of the turn, when the bus publishes: the answers go with the questions of this node.
      if (waiting.size === 0) queueMicrotask(flush)
      const answers = waiting.get(origin)
      if (answers === undefined) waiting.set(origin, [[id, text]])
      else answers.push([id, text])
    },
  }
}
