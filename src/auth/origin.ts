/** Web pages that may open a connection. */
export interface Origins {
  /** Takes the header `Origin`. Allows null, which no browser sends. */
  allows(origin: string | null): boolean
}

/** Allows every origin for an empty list or `*`, else exact matches only. */
export function createOrigins(allowed: readonly string[]): Origins {
  const listed = new Set(allowed)
  const any = listed.size === 0 || listed.has('*')

  return { allows: origin => any || origin === null || listed.has(origin) }
}
