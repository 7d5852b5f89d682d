import type { ApiKeys } from '../auth/api-key.ts'
import { AppError } from '../errors.ts'

/** What the guard needs to know of a route; read from its OpenAPI detail, so that document and enforcement are one. */
interface Access {
  readonly apiKey: boolean
  /** `/ws` and `/sse`: no HEAD. */
  readonly socket: boolean
}

interface RouteInfo {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly detail?: unknown }
}

interface Detail {
  readonly security?: readonly object[]
  readonly 'x-socket'?: boolean
}

/** Stands before everything else: unknown paths, other methods and missing keys end here, before any body is read. */
export interface Guard {
  /** Throws what the request is refused with. */
  check(request: Request): void
  /** Takes the routes it decides over. */
  learn(routes: readonly RouteInfo[]): void
}

interface GuardOptions {
  readonly keys: ApiKeys
  readonly onRefused: (fields: { readonly kind: 'api_key'; readonly reason: string }) => void
}

const VISIBLE = /^[\x21-\x7e]{1,128}$/

/** The caller's id for the request when it is fit for a header and a log, else a new one. */
export const requestIdOf = ({ headers }: Request): string => {
  const given = headers.get('x-request-id')
  return given !== null && VISIBLE.test(given) ? given : crypto.randomUUID()
}

/** The path as sent, without query: nothing is normalised, so that one resource has one name. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('://') + 3)
  const query = url.indexOf('?', start)
  return start < 0 ? '/' : url.slice(start, query < 0 ? undefined : query)
}

function accessOf({ hooks }: RouteInfo): Access {
  const { security = [], 'x-socket': socket = false } = (hooks.detail ?? {}) as Detail
  return { apiKey: security.some(scheme => 'apiKey' in scheme), socket }
}

export function createGuard({ keys, onRefused }: GuardOptions): Guard {
  const table = new Map<string, Map<string, Access>>()

  return {
    learn: routes => {
      for (const route of routes) {
        const methods = table.get(route.path) ?? new Map<string, Access>()
        const access = accessOf(route)
        methods.set(route.method, access)
        if (route.method === 'GET' && !access.socket) methods.set('HEAD', access)
        table.set(route.path, methods)
      }
    },
    check: ({ url, method, headers }) => {
      const methods = table.get(pathOf(url))
      if (methods === undefined) throw new AppError('NOT_FOUND')
      const access = methods.get(method)
      if (access === undefined)
        throw new AppError('METHOD_NOT_ALLOWED', { headers: { allow: [...methods.keys()].join(', ') } })
      if (!access.apiKey || keys.accepts(headers.get('x-api-key'))) return
      onRefused({ kind: 'api_key', reason: headers.has('x-api-key') ? 'wrong key' : 'no key' })
      throw new AppError('UNAUTHORIZED', { message: 'The API key is missing or invalid.' })
    },
  }
}
