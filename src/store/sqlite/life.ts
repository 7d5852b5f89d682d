import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Base } from '../store.ts'

/** How many earlier lives stay known. */
const MAX_BASES = 8

/** The lives of a file that stay known, oldest first; the last one is now. */
export interface Lives {
  /** Counts lives; in the file only, nobody else sees it. */
  readonly number: number
  readonly names: readonly Epoch[]
}

/** Of a log as the file has it. */
export interface LogLife {
  readonly life: number
  readonly epoch: Epoch
  readonly seq: number
  /** JSON of [epoch, seq] pairs, oldest first; empty text for none. */
  readonly bases: string
}

/** Eight characters of [A-Za-z0-9_-]. A name and never a number: two copies of a file must not give the same one. */
export const newName = (): Epoch =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url')

const basesOf = (text: string): readonly Base[] =>
  text === ''
    ? []
    : (JSON.parse(text) as readonly (readonly [Epoch, number])[]).map(([epoch, seq]) => ({ epoch, seq }))

export const textOf = (bases: readonly Base[]): string =>
  bases.length === 0 ? '' : JSON.stringify(bases.map(({ epoch, seq }) => [epoch, seq]))

/** The names of the lives that have passed since a number, without the present one. */
function livesSince({ number, names }: Lives, since: number): readonly Epoch[] {
  const passed = names.slice(0, -1)
  return passed.slice(Math.max(0, passed.length - (number - since - 1)))
}

/**
 * A log of an earlier life has another epoch in this one, and a base: what it held when its life ended. That follows from
 * what the file says, so that a reader need not write it first; whoever writes to the log writes it down.
 */
export function present(
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
