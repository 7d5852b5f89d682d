import * as v from 'valibot'

/** Where logs, acknowledgements, templates, keys and revocations are kept. */
export type StoreUrl = { readonly kind: 'memory' } | { readonly kind: 'sqlite'; readonly path: string }

const SQLITE = 'sqlite:'

/** Undefined for what names no store; `:memory:` is what others call a file that is none. */
function parse(text: string): StoreUrl | undefined {
  if (text === 'memory:') return { kind: 'memory' }
  const path = text.startsWith(SQLITE) ? text.slice(SQLITE.length) : ''
  return path === '' || path === ':memory:' || path.includes('\0') ? undefined : { kind: 'sqlite', path }
}

export const storeUrl = v.pipe(
  v.string(),
  v.check(text => parse(text) !== undefined),
  v.transform((text): StoreUrl => parse(text) ?? { kind: 'memory' }),
  v.metadata({ expected: 'memory: or sqlite:/path/of/the/file' }),
)
