/**
 * Makes a function that gives strings as JSON, and remembers the last one. Most sends of a caller have the same event type,
 * and the runtime's own call costs 0.15 µs.
 */
export function createQuote(): (text: string) => string {
  let last = ''
  let quoted = '""'
  return text => {
    if (text !== last) {
      quoted = JSON.stringify(text)
      last = text
    }
    return quoted
  }
}
