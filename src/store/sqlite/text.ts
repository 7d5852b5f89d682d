/** Marks a text that is kept as JSON; nothing that is kept begins with it otherwise. */
const MARK = '\u0001'

/** SQLite keeps UTF-8, which has no lone surrogates: a text that holds one goes in and comes out the same by a detour. */
export const storable = (text: string): string => (text.isWellFormed() ? text : MARK + JSON.stringify(text))

export const restored = (kept: string): string =>
  kept.startsWith(MARK) ? (JSON.parse(kept.slice(1)) as string) : kept
