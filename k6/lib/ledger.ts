/** Which of a user's notifications were sent, and which have come. */
export interface Ledger {
  /** The number of the next one: 1, 2, 3 … */
  issue(): number
  /** The service has answered that it has it: from now on it must come, unless it is here already. */
  accepted(n: number): void
  received(n: number): 'new' | 'repeated' | 'out_of_order'
  /** Accepted, and not here. */
  missing(): number
}

/** Order is checked too, so the next one may only be sent when the one before is answered. */
export function createLedger(): Ledger {
  const awaited = new Set<number>()
  const seen = new Set<number>()
  let issued = 0
  let highest = 0

  return {
    issue: () => ++issued,
    accepted: n => {
      if (!seen.has(n)) awaited.add(n)
    },
    received: n => {
      if (seen.has(n)) return 'repeated'
      seen.add(n)
      awaited.delete(n)
      if (n < highest) return 'out_of_order'
      highest = n
      return 'new'
    },
    missing: () => awaited.size,
  }
}
