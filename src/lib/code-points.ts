/**
 * Orders texts by their code points, which is the order of their UTF-8 bytes. `<` goes by UTF-16 units and puts U+E000 to
 * U+FFFF behind everything that is above them.
 */
export function byCodePoints(a: string, b: string): number {
  for (let at = 0; ; ) {
    const [x, y] = [a.codePointAt(at), b.codePointAt(at)]
    if (x !== y) return (x ?? -1) - (y ?? -1)
    if (x === undefined) return 0
    at += x > 0xffff ? 2 : 1
  }
}
