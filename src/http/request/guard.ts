import type { ApiKeys } from '../../auth/api-key.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { NAME_RULE } from '../../lib/name.ts'
import type { RequestLimit } from '../../limit/requests.ts'
import { idsOf, type RequestIds } from '../../observe/request-ids.ts'
import type { RequestSpans } from '../../observe/request-spans.ts'
import type { Callers } from './caller.ts'

/** Access rules of a route, from its OpenAPI detail: the document states what is enforced. */
interface Access {
  readonly apiKey: boolean
  /** True for `/ws` and `/sse`, which answer no HEAD. */
  readonly socket: boolean
  /** Served on INTERNAL_PORT only, if that is set. */
  readonly internal: boolean
}

interface RouteInfo {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly detail?: unknown }
}

interface Detail {
  readonly security?: readonly object[]
  readonly 'x-socket'?: boolean
  readonly 'x-internal'?: boolean
}

/** The listener that received a request; `only` without INTERNAL_PORT. */
export type Side = 'public' | 'internal' | 'only'

/** Headers of an answer by lower-case name. */
type AnswerHeaders = Record<string, string | number>

/** Rejects unknown paths, wrong methods, missing keys and excess requests before any body is read. */
export interface Guard {
  /** Finds the route of a request; undefined for an unknown path. */
  find(request: Request): Place | undefined
  /** Throws the AppError that rejects a request. Adds to `headers` also when it throws. */
  check(place: Place | undefined, request: Request, headers: AnswerHeaders): void
  /** Registers the routes to guard. */
  learn(routes: readonly RouteInfo[]): void
}

/** A path with all its methods. */
export interface Place {
  /** Pattern with variable segments in braces: `/users/{id}`. */
  readonly pattern: string
  readonly segments: readonly string[]
  readonly methods: Map<string, Access>
  /** The side that does not serve this path: `public` for operator routes, `internal` for sockets. */
  hiddenFrom: Side | undefined
}

interface GuardOptions {
  readonly keys: ApiKeys
  readonly callers: Callers
  readonly sideOf: (request: Request) => Side
  /** Absent without RATELIMIT_ENABLED. */
  readonly limit: RequestLimit | undefined
  readonly onRefused: (fields: { readonly kind: 'api_key'; readonly reason: string } & RequestIds) => void
  /** Absent without traces. */
  readonly spans?: RequestSpans | undefined
}

const VISIBLE = /^[\x21-\x7e]{1,128}$/

/** `X-Request-Id` if it is safe in headers and logs, else a new id. */
export const requestIdOf = ({ headers }: Request): string => {
  const given = headers.get('x-request-id')
  return given !== null && VISIBLE.test(given) ? given : crypto.randomUUID()
}

/** The path exactly as sent, without query. Nothing is normalised: one resource has one path. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('://') + 3)
  const query = url.indexOf('?', start)
  return start < 0 ? '/' : url.slice(start, query < 0 ? undefined : query)
}

function accessOf({ hooks }: RouteInfo): Access {
  const {
    security = [],
    'x-socket': socket = false,
    'x-internal': internal = false,
  } = (hooks.detail ?? {}) as Detail
  return { apiKey: security.some(scheme => 'apiKey' in scheme), socket, internal }
}

/** A variable segment matches any text but the empty one. */
const matches = (pattern: readonly string[], segments: readonly string[]): boolean =>
  pattern.length === segments.length &&
  pattern.every((part, at) => (part.startsWith(':') ? segments[at] !== '' : part === segments[at]))

export function createGuard({ keys, callers, sideOf, limit, onRefused, spans }: GuardOptions): Guard {
  const table = new Map<string, Place>()
  const variable: Place[] = []

  /** Prefers fixed paths: `/notifications/send` does not look up the id `send`. */
  const find = (path: string): Place | undefined => {
    const fixed = table.get(path)
    if (fixed !== undefined) return fixed
    // The runtime turns backslashes after a host into slashes: they must not alias a path.
    if (path.includes('\\')) return undefined
    const segments = path.split('/')
    return variable.find(place => matches(place.segments, segments))
  }

  let lastUrl = ''
  let lastPlace: Place | undefined

  /** Remembers the last URL: most callers use one route, and a path must be cut out and hashed. */
  const findUrl = (url: string): Place | undefined => {
    if (url !== lastUrl) {
      lastPlace = find(pathOf(url))
      lastUrl = url
    }
    return lastPlace
  }

  const accessTo = (place: Place | undefined, method: string): Access => {
    if (place === undefined) throw new AppError('NOT_FOUND')
    const access = place.methods.get(method)
    if (access === undefined)
      throw new AppError('METHOD_NOT_ALLOWED', { headers: { allow: [...place.methods.keys()].join(', ') } })
    return access
  }

  const learn = (path: string): Place => {
    const place: Place = {
      pattern: path.replaceAll(/:(\w+)/g, '{$1}'),
      segments: path.split('/'),
      methods: new Map<string, Access>(),
      hiddenFrom: undefined,
    }
    if (path.includes('/:')) variable.push(place)
    table.set(path, place)
    return place
  }

  /** Callers without a valid key share the bucket of their address. */
  const charge = (id: string | undefined, request: Request, headers: AnswerHeaders): void => {
    if (limit !== undefined) Object.assign(headers, limit.charge(id ?? limit.addressOf(request)))
  }

  /** Charges the address as well. An empty bucket throws RATE_LIMITED instead of the refusal. */
  const refuse = (reason: string, request: Request, headers: AnswerHeaders): void => {
    onRefused({ kind: 'api_key', reason, ...idsOf(headers, spans?.of(request)) })
    charge(undefined, request, headers)
  }

  const checkCaller = (request: Request, headers: AnswerHeaders): void => {
    const key = request.headers.get('x-api-key')
    const holder = keys.holderOf(key)
    if (holder === undefined) {
      refuse(key === null ? 'no key' : 'wrong key', request, headers)
      throw new AppError('UNAUTHORIZED', {
        message: key === null ? 'X-API-Key is missing.' : 'X-API-Key is invalid.',
      })
    }
    const fault = callers.note(request, holder)
    if (fault === 'foreign') {
      refuse('key of another tenant', request, headers)
      throw new AppError('FORBIDDEN', {
        message: 'X-Tenant-ID must be the tenant that the API key is bound to.',
      })
    }
    charge(holder.id, request, headers)
    if (fault === 'malformed') throw invalidValue('X-Tenant-ID', `expected ${NAME_RULE}`)
  }

  return {
    learn: routes => {
      for (const route of routes) {
        const place = table.get(route.path) ?? learn(route.path)
        const { methods } = place
        const access = accessOf(route)
        if (access.internal) place.hiddenFrom = 'public'
        if (access.socket) place.hiddenFrom = 'internal'
        methods.set(route.method, access)
        if (route.method === 'GET' && !access.socket) methods.set('HEAD', access)
      }
    },
    find: request => {
      const place = findUrl(request.url)
      return place?.hiddenFrom !== undefined && place.hiddenFrom === sideOf(request) ? undefined : place
    },
    check: (place, request, headers) => {
      if (accessTo(place, request.method).apiKey) checkCaller(request, headers)
    },
  }
}
