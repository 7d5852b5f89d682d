/** The answers to one call. */
export interface Answers {
  /** Answers of other nodes. */
  readonly texts: readonly string[]
  /** That of this node to itself, for kinds that it answers to itself. */
  readonly own?: string | undefined
  /** Nodes that did not answer in time. */
  readonly missing: number
}

export const NO_ANSWERS: Answers = { texts: [], missing: 0 }

/** The answers of other nodes to several calls as one. */
export const addUp = (all: readonly Answers[]): Answers => ({
  texts: all.flatMap(({ texts }) => texts),
  missing: all.reduce((sum, { missing }) => sum + missing, 0),
})
