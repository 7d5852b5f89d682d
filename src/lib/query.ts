import type { Fault } from './json/document.ts'

const BROKEN_PERCENT = /%(?![0-9a-f]{2})/i

/** Reads the query of a URL, or its fault: broken percent-encoding or a repeated known parameter. */
export function readQuery(url: string, known: readonly string[]): URLSearchParams | Fault {
  const start = url.indexOf('?')
  const text = start < 0 ? '' : url.slice(start + 1)
  if (BROKEN_PERCENT.test(text))
    return { path: 'query', message: 'expected percent-encoding (got a broken one)' }
  const query = new URLSearchParams(text)
  const repeated = known.find(name => query.getAll(name).length > 1)
  return repeated === undefined ? query : { path: repeated, message: 'given twice' }
}
