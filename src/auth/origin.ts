export interface Origins {
  /** `null`: no browser, which passes. */
  allows(origin: string | null): boolean
}

/** Pages that may open connections, by exact origin (scheme, host, port); an empty list or `*` allows all. */
export function createOrigins(allowed: readonly string[]): Origins {
  const known = new Set(allowed)
  const any = known.size === 0 || known.has('*')
  return { allows: origin => any || origin === null || known.has(origin) }
}
