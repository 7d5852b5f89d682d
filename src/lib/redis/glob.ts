/** Tells whether an entry of REDIS_CHANNELS is a pattern instead of a name. */
export const isPattern = (entry: string): boolean => /[*?[]/.test(entry)

/** Text before the first wildcard or escape of a pattern, or the whole name. */
const literalOf = (entry: string): string =>
  isPattern(entry) ? (/^[^*?[\\]*/.exec(entry)?.[0] ?? '') : entry

/** Tells whether a name may match both entries; can err towards true, as for `a?` and `a`. */
export function mayOverlap(one: string, other: string): boolean {
  const [a, b] = [literalOf(one), literalOf(other)]
  // A pattern can continue after its literal text; a name ends there.
  return a === b || (isPattern(one) && b.startsWith(a)) || (isPattern(other) && a.startsWith(b))
}
