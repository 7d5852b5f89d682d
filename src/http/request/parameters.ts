import { invalidValue } from '../../errors.ts'
import { type Query, readQuery } from '../../lib/query.ts'

/** A decoded path segment. The router gives null for broken percent-encoding or UTF-8. */
export function segment(name: string, value: string | null | undefined): string {
  if (typeof value !== 'string') throw invalidValue(name, 'expected percent-encoded UTF-8')
  return value
}

/** The query of a request. Ignores unknown parameters; throws 400 for a repeated known one. */
export function queryOf(url: string, known: readonly string[]): Query {
  const query = readQuery(url, known)
  if ('path' in query) throw invalidValue(query.path, query.message)
  return query
}

/** An integer query parameter from `least` to `most`, both included. */
export function integerIn(
  query: Query,
  name: string,
  { least, most, otherwise }: { readonly least: number; readonly most: number; readonly otherwise: number },
): number {
  const text = query.get(name)
  if (text === null) return otherwise
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  throw invalidValue(name, `expected a whole number from ${least} to ${most}`)
}
