import { type AnyElysia, Elysia } from 'elysia'
import { AppError } from '../../errors.ts'
import { type Asset, answerWith, assetOf } from '../openapi/asset.ts'
import type { RouteInfo } from '../openapi/document.ts'
import { pageAssets } from '../openapi/page.ts'
import { segment } from '../request/parameters.ts'

interface DocumentOptions {
  /** All other routes; the document also describes those of this group. */
  readonly groups: readonly { readonly routes: readonly RouteInfo[] }[]
  readonly version: string
}

/** Calls `make` at the first use and caches its result, but no failure. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let making: Promise<T> | undefined
  return () => {
    making ??= make().catch(error => {
      making = undefined
      throw error
    })
    return making
  }
}

const acceptsHtml = ({ headers }: Request): boolean =>
  headers.get('accept')?.toLowerCase().includes('text/html') ?? false

/** `/`, `/openapi.json` and `/docs`. Builds documents at the first request. */
export function documentRoutes({ groups, version }: DocumentOptions) {
  const document = once(async (): Promise<Asset> => {
    const { describe } = await import('../openapi/document.ts')
    const text = JSON.stringify(
      describe({ routes: [...groups, documents].flatMap(({ routes }) => routes), version }),
    )
    return assetOf(text, { 'content-type': 'application/json', 'cache-control': 'no-cache' })
  })
  const page = once(pageAssets)
  const route = (summary: string) => ({ detail: { summary, security: [], 'x-internal': true } as object })

  const documents: AnyElysia = new Elysia({ name: 'documents' })
    .get(
      '/',
      ({ request }) =>
        acceptsHtml(request)
          ? new Response(null, { status: 302, headers: { location: '/docs' } })
          : { service: 'ara-notification-service', version, docs: '/docs' },
      route('Name and version of the service'),
    )
    .get(
      '/openapi.json',
      async ({ request }) => answerWith(request, await document()),
      route('This OpenAPI document'),
    )
    .get(
      '/docs',
      async ({ request }) => answerWith(request, (await page()).page),
      route('This document as a page'),
    )
    .get(
      '/docs/:file',
      async ({ request, params }) => {
        const asset = (await page()).files.get(segment('file', params.file))
        if (asset === undefined) throw new AppError('NOT_FOUND')
        return answerWith(request, asset)
      },
      route('Files of the page'),
    )
  return documents
}
