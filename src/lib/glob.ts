/** One place of a pattern: any run of bytes, or one byte of a set. */
type Token = 'run' | ((byte: number) => boolean)

const [STAR, ANY, OPEN, CLOSE, NOT, DASH, ESCAPE] = [...Buffer.from('*?[]^-\\')]
const BYTES = Array.from({ length: 256 }, (_, byte) => byte)

/** A class and where it ends. Like Redis, takes one that is never closed to go on to the end. */
function readClass(bytes: Uint8Array, start: number): { readonly token: Token; readonly end: number } {
  const isNot = bytes[start] === NOT
  const members = new Set<number>()
  let at = isNot ? start + 1 : start
  for (; at < bytes.length && bytes[at] !== CLOSE; at++) {
    if (bytes[at] === ESCAPE && at + 1 < bytes.length) at++
    else if (bytes[at + 1] === DASH && at + 2 < bytes.length) {
      const ends = [bytes[at] ?? 0, bytes[at + 2] ?? 0]
      for (let byte = Math.min(...ends); byte <= Math.max(...ends); byte++) members.add(byte)
      at += 2
      continue
    }
    members.add(bytes[at] ?? 0)
  }
  return { token: byte => members.has(byte) !== isNot, end: Math.min(at, bytes.length - 1) }
}

function tokensOf(pattern: string): readonly Token[] {
  const bytes = Buffer.from(pattern)
  const tokens: Token[] = []
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === STAR) tokens.push('run')
    else if (bytes[at] === ANY) tokens.push(() => true)
    else if (bytes[at] === OPEN) {
      const { token, end } = readClass(bytes, at + 1)
      tokens.push(token)
      at = end
    } else {
      if (bytes[at] === ESCAPE && at + 1 < bytes.length) at++
      const only = bytes[at]
      tokens.push(byte => byte === only)
    }
  }
  return tokens
}

const literalOf = (name: string): readonly Token[] =>
  [...Buffer.from(name)].map(only => byte => byte === only)

/** Whether Redis would take it for a pattern rather than a name, by the rule of `REDIS_CHANNELS`. */
export const isPattern = (entry: string): boolean => /[*?[]/.test(entry)

const entryTokens = (entry: string): readonly Token[] =>
  isPattern(entry) ? tokensOf(entry) : literalOf(entry)

/** Whether one byte fits both. */
const meet = (left: Token, right: Token): boolean =>
  typeof left === 'function' && typeof right === 'function' && BYTES.some(byte => left(byte) && right(byte))

/** Whether some name fits both; each is a name or a pattern with the `*`, `?`, `[…]` and `\` of Redis. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [entryTokens(one), entryTokens(other)]
  /** By i and then j: whether what a says from i on and b from j on has a name in common. */
  let below: readonly boolean[] = []
  for (let i = a.length; i >= 0; i--) {
    const row: boolean[] = []
    for (let j = b.length; j >= 0; j--) {
      const [left, right] = [a[i], b[j]]
      // Columns and rows past the end hold nothing, so a run that eats the end of the other one is no match.
      if (left === 'run' || right === 'run') row[j] = below[j] === true || row[j + 1] === true
      else if (left === undefined || right === undefined) row[j] = left === right
      else row[j] = below[j + 1] === true && meet(left, right)
    }
    below = row
  }
  return below[0] === true
}
