const FORM =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/

/**
 * Parses a moment of RFC 3339 §5.6, with any fraction, to milliseconds since 1970; undefined for any other
 * text. A leap second counts as the following moment.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = FORM.exec(text)
  if (match === null) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, fraction = 0] = match
    .slice(1, 8)
    .map(part => Number(part ?? 0))
  const date = new Date(0)
  // Date.UTC maps the years 0 to 99 to 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  const [, sign, hours = 0, minutes = 0] = match.slice(7)
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60 : 60)
  return date.getTime() + (hour * 3_600 + minute * 60 + second + fraction - offset) * 1_000
}
