import { CURSOR_PATTERN } from '../protocol/values.ts'

/** Names one life of a log: 1–32 of `[A-Za-z0-9_-]`, opaque. */
export type Epoch = string

/** A place in a user's log: everything up to `seq` lies before it. */
export interface Cursor {
  readonly epoch: Epoch
  readonly seq: number
}

const MAX_LENGTH = 128

/** The text that clients keep: `<epoch>:<seq>`. */
export const formatCursor = ({ epoch, seq }: Cursor): string => `${epoch}:${seq}`

/** Returns undefined for text that the service cannot have sent. */
export function parseCursor(text: string): Cursor | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const [, epoch, digits] = CURSOR_PATTERN.exec(text) ?? []
  if (epoch === undefined || !Number.isSafeInteger(Number(digits))) return undefined
  return { epoch, seq: Number(digits) }
}
