import { invalidValue } from '../../errors.ts'
import { readQuery } from '../../lib/query.ts'

/** A variable segment of a path, as the router decoded it; it gives null for broken percent-encoding and invalid UTF-8. */
export function segment(name: string, value: string | null | undefined): string {
  if (typeof value !== 'string') throw invalidValue(name, 'expected percent-encoded UTF-8')
  return value
}

/** The query of a request. Unknown parameters are ignored; a known one that is given twice is refused. */
export function queryOf(url: string, known: readonly string[]): URLSearchParams {
  const query = readQuery(url, known)
  if (query instanceof URLSearchParams) return query
  throw invalidValue(query.path, query.message)
}

/** An integer of the query between two bounds, both included. */
export function integerIn(
  query: URLSearchParams,
  name: string,
  { least, most, otherwise }: { readonly least: number; readonly most: number; readonly otherwise: number },
): number {
  const text = query.get(name)
  if (text === null) return otherwise
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  throw invalidValue(name, `expected a whole number from ${least} to ${most}`)
}
