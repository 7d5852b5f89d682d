/** Which pages may open a connection. */
export interface Origins {
  /** Takes the header `Origin`; null, that is no browser, passes. */
  allows(origin: string | null): boolean
}

/** An empty list and `*` allow every origin; otherwise it must equal one of the list, character by character. */
export function createOrigins(allowed: readonly string[]): Origins {
  const listed = new Set(allowed)
  const any = listed.size === 0 || listed.has('*')

  return { allows: origin => any || origin === null || listed.has(origin) }
}
