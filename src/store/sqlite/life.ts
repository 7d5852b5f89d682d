import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Base } from '../store.ts'

/** Number of earlier lives that stay known. */
const MAX_BASES = 8

/** Lives of a file that stay known, oldest first. The last one is the current life. */
export interface Lives {
  /** Number of the current life. Used only inside the file. */
  readonly number: number
  readonly names: readonly Epoch[]
}

/** A log as stored in the file. */
export interface LogLife {
  readonly life: number
  readonly epoch: Epoch
  readonly seq: number
  /** JSON array of [epoch, seq] pairs, oldest first; empty text for none. */
  readonly bases: string
}

/** Eight characters of [A-Za-z0-9_-]. Random, not a counter: two copies of a file must never make the same name. */
export const newName = (): Epoch =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

const basesOf = (text: string): readonly Base[] =>
  text === ''
    ? []
    : (JSON.parse(text) as readonly (readonly [Epoch, number])[]).map(([epoch, seq]) => ({ epoch, seq }))

export const textOf = (bases: readonly Base[]): string =>
  bases.length === 0 ? '' : JSON.stringify(bases.map(({ epoch, seq }) => [epoch, seq]))

/** Names of the lives between life `since` and the current one. */
function livesSince({ number, names }: Lives, since: number): readonly Epoch[] {
  const passed = names.slice(0, -1)
  return passed.slice(Math.max(0, passed.length - (number - since - 1)))
}

/**
 * Returns a log as seen from the current life. A log of an earlier life has a new epoch, and a base: its head when that
 * life ended. Readers derive this from the file without writing. The next write to the log stores it.
 */
export function inCurrentLife(
  log: LogLife,
  lives: Lives,
): { readonly head: Cursor; readonly bases: readonly Base[] } {
  const { life, epoch, seq } = log
  const bases = basesOf(log.bases)
  const now = lives.names.at(-1)
  if (life === lives.number || now === undefined) return { head: { epoch, seq }, bases }
  const ended = [epoch, ...livesSince(lives, life)].map(name => ({ epoch: name, seq }))
  return { head: { epoch: now, seq }, bases: [...bases, ...ended].slice(-MAX_BASES) }
}
