/** `const name = call(`, or `const [one, other] = [`. */
const DECLARATION = /^ *(?:const|let) (?:(\w+)(?:: .*Promise<.*>.*)? =(?!>)|\[([\w, ]+)\] = \[)/
/** No calls, promises with a handler from the start, and promises that never reject. */
const NEEDS_NONE =
  /[^)\]]$| = (?:await|awaitedLater|Promise\.allSettled|Promise\.withResolvers|new Promise)\b|\.catch\((?:[^()]|\(.*?\))*\)$/s
/** Opens the body of a function, whose waits are its own. */
const FUNCTION_BODY = /=> \{$|\bfunction\b.*\{$/

/** Removes strings and comments, in which names mean something else. */
const codeOf = (line: string): string =>
  line
    .replace(/'(?:[^'\\]|\\.)*'/g, "''")
    .replace(/\/\/ .*$|^ *\/?\*.*$/, '')
    .trimEnd()

const indentOf = (line: string): number => line.search(/\S/)

/** Number of lines of the statement at `start`. Later lines of it are indented, or begin with a bracket. */
function lengthAt(lines: readonly string[], start: number): number {
  const indent = indentOf(lines[start] ?? '')
  const rest = lines.slice(start + 1)
  const end = rest.findIndex(
    line => line !== '' && indentOf(line) <= indent && !(indentOf(line) === indent && /^ *[)\]}]/.test(line)),
  )
  return 1 + (end < 0 ? rest.length : end)
}

/** Matches code that gives the promise `name`, or all promises of the array `name`, their handlers. */
const handling = (name: string): RegExp =>
  new RegExp(
    [
      `(?:await|return) ${name}\\b(?![.([])`,
      `Promise\\.(?:all|any|race|allSettled)\\((?:\\[(?:[^()]*\\W)?)?${name}\\b(?![.([])`,
      `expect\\(${name}\\)\\.(?:rejects|resolves)`,
      `\\b${name}\\.(?:then|catch|finally)\\(`,
    ].join('|'),
  )

/** True if the code waits for another promise before the lines mention `name` and handle it. */
function isHandledLate(name: string, lines: readonly string[], indent: number): boolean {
  const mention = new RegExp(`(?<![.\\w]|\\.\\.\\.)${name}\\b(?!:)|\\.\\.\\.${name}\\b`)
  let hasWaited = false
  let body = Number.POSITIVE_INFINITY
  for (const line of lines) {
    if (line === '') continue
    if (indentOf(line) < indent) return false
    if (indentOf(line) <= body) body = Number.POSITIVE_INFINITY
    if (mention.test(line)) return hasWaited && handling(name).test(line)
    if (body !== Number.POSITIVE_INFINITY) continue
    if (/\bawait\b/.test(line.replace(/=>.*$/, ''))) hasWaited = true
    if (FUNCTION_BODY.test(line)) body = indentOf(line)
  }
  return false
}

/**
 * Finds promises in formatted code that get a handler only after the code has waited for another promise.
 * A rejection in between fails the test, and perhaps all later tests of the file.
 */
export function lateHandlers(text: string): readonly { readonly line: number; readonly name: string }[] {
  const lines = text.split('\n').map(codeOf)
  return lines.flatMap((first, place) => {
    const names =
      DECLARATION.exec(first)
        ?.slice(1)
        .find(found => found !== undefined)
        ?.split(', ') ?? []
    if (names.length === 0) return []
    const end = place + lengthAt(lines, place)
    if (NEEDS_NONE.test(lines.slice(place, end).join('\n').trim().replace('=\n', '= '))) return []
    const rest = lines.slice(end)
    return names
      .filter(name => isHandledLate(name, rest, indentOf(first)))
      .map(name => ({ line: place + 1, name }))
  })
}
