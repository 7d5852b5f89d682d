/** Counters of this node, plain numbers. */
export interface Stats {
  /** Faults that nobody foresaw, caught at the top. */
  unhandledErrors: number
}

export const createStats = (): Stats => ({ unhandledErrors: 0 })
