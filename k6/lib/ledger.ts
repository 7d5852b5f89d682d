/** Ledger of a user's notifications: sent and received. */
export interface Ledger {
  /** Number of the next notification: 1, 2, 3 … */
  issue(): number
  /** Notes that the service accepted it: it must arrive, unless it already has. */
  accepted(n: number): void
  received(n: number): 'new' | 'repeated' | 'out_of_order'
  /** Accepted notifications that have not arrived. */
  missing(): number
}

/** Creates a ledger. It checks the order, so send the next only after the previous answer. */
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
