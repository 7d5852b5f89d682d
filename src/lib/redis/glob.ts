/** Whether an entry of REDIS_CHANNELS is a pattern of Redis rather than a name. */
export const isPattern = (entry: string): boolean => /[*?[]/.test(entry)

/** The text before the first wildcard or escape of a pattern, or the whole name. */
const literalOf = (entry: string): string =>
  isPattern(entry) ? (/^[^*?[\\]*/.exec(entry)?.[0] ?? '') : entry

/** Whether some name may match both entries: true too often, as for `a?` and `a`, never too seldom. */
export function mayOverlap(one: string, other: string): boolean {
  const [a, b] = [literalOf(one), literalOf(other)]
  // A pattern may go on after its literal text, a name ends there.
  return a === b || (isPattern(one) && b.startsWith(a)) || (isPattern(other) && a.startsWith(b))
}
