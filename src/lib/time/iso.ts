let lastMs = Number.NaN
let lastText = ''

/** Formats milliseconds since 1970 by RFC 3339, with three fraction digits. Many sends share a millisecond. */
export function isoOf(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString()
    lastMs = ms
  }
  return lastText
}
