import * as v from 'valibot'

/** Where logs, acknowledgements, templates, keys and revocations are kept. */
export type StoreUrl = { readonly kind: 'memory' }

export const storeUrl = v.pipe(
  v.string(),
  v.literal('memory:'),
  v.transform((): StoreUrl => ({ kind: 'memory' })),
  v.metadata({ expected: 'memory:' }),
)
