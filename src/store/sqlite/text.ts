/** Marks a text stored as JSON. No other stored text begins with it. */
const MARK = '\u0001'

/** SQLite stores UTF-8, which has no lone surrogates. A text with one is stored as JSON and restored exactly. */
export const encodeText = (text: string): string => (text.isWellFormed() ? text : MARK + JSON.stringify(text))

export const decodeText = (kept: string): string =>
  kept.startsWith(MARK) ? (JSON.parse(kept.slice(1)) as string) : kept
