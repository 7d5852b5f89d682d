/** Something that is answered alike to everybody. */
export interface Asset {
  readonly body: string | Blob
  readonly headers: Readonly<Record<string, string>>
}

/** With an ETag, so that whoever has it already need not take it again. */
export function assetOf(text: string, headers: Asset['headers']): Asset {
  return { body: text, headers: { ...headers, etag: `"${Bun.hash(text).toString(36)}"` } }
}

/** Whether `If-None-Match` names this ETag, compared weakly (RFC 9110 §13.1.2). */
function hasAlready({ headers }: Request, etag: string | undefined): boolean {
  const tags =
    headers
      .get('if-none-match')
      ?.split(',')
      .map(tag => tag.trim().replace(/^W\//, '')) ?? []
  return etag !== undefined && (tags.includes(etag) || tags.includes('*'))
}

/** 200, or 304 where the one who asks has it. */
export const answerWith = (request: Request, { body, headers }: Asset): Response =>
  hasAlready(request, headers['etag'])
    ? new Response(null, { status: 304, headers })
    : new Response(body, { headers })
