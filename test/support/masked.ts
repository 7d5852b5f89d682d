const NO_ID = '00000000-0000-0000-0000-000000000000'
/** Keys whose values differ in each run. */
const VOLATILE = [
  'uptime_seconds',
  'version',
  'avg_latency_ms',
  'expires_in',
  'heartbeat_seconds',
  'in',
  'reconnect_after_seconds',
]
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`\\b(?!${NO_ID})[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\\b`, 'g'), '<id>'],
  [/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>'],
  [/"[A-Za-z0-9_-]{1,32}:\d+"/g, '"<cursor>"'],
  [/^id: .*$/gm, 'id: <cursor>'],
  [new RegExp(`"(${VOLATILE.join('|')})":(?:"[^"]*"|[\\d.]+)`, 'g'), '"$1":"<$1>"'],
]

/** Replaces varying parts of a text by their kind. */
export const maskedText = (text: string): string =>
  PATTERNS.reduce((changed, [pattern, mask]) => changed.replaceAll(pattern, mask), text)

/** Replaces varying parts of a value by their kind. */
export const masked = (value: unknown): unknown =>
  value === undefined ? undefined : JSON.parse(maskedText(JSON.stringify(value)))
