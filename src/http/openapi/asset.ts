/** An answer that is the same for all requests. */
export interface Asset {
  readonly body: string | Blob
  readonly headers: Readonly<Record<string, string>>
}

/** Adds an ETag, which lets clients revalidate a cached copy. */
export function assetOf(text: string, headers: Asset['headers']): Asset {
  return { body: text, headers: { ...headers, etag: `"${Bun.hash(text).toString(36)}"` } }
}

/** Whether `If-None-Match` names this ETag, compared weakly (RFC 9110 §13.1.2). */
function isCached({ headers }: Request, etag: string | undefined): boolean {
  const tags =
    headers
      .get('if-none-match')
      ?.split(',')
      .map(tag => tag.trim().replace(/^W\//, '')) ?? []
  return etag !== undefined && (tags.includes(etag) || tags.includes('*'))
}

/** Answers 200, or 304 to a client that has a current copy. */
export const answerWith = (request: Request, { body, headers }: Asset): Response =>
  isCached(request, headers['etag'])
    ? new Response(null, { status: 304, headers })
    : new Response(body, { headers })
