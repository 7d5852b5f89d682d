import type { KeyHolder } from '../../auth/api-key.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { RequestSpans } from '../../observe/request-spans.ts'
import { DEFAULT_TENANT, isTenant } from '../../protocol/names.ts'

/** Who sends a request with an API key. */
export interface Caller {
  /** Whose users and channels the request is about. */
  readonly tenant: string
  /** Its key is good for that tenant only: of others it must not learn anything. */
  readonly isBound: boolean
  /** Of the request, when it is traced. */
  readonly span?: Span | undefined
}

/** Who sends which request: the guard tells, handlers ask. */
export interface Callers {
  /** Takes note of the caller, or says why there is none: a header of another tenant than the key's, or of no tenant. */
  note(request: Request, holder: KeyHolder): 'foreign' | 'malformed' | undefined
  /** Of a request that the guard let through. */
  of(request: Request): Caller
}

/** Everything is one tenant's, whatever keys and headers say. */
export function oneTenant(): Callers {
  const caller = { tenant: DEFAULT_TENANT, isBound: false }
  return { note: () => undefined, of: () => caller }
}

/** The tenant of a bound key, else that of `X-Tenant-ID`, else the default one. */
export function manyTenants(): Callers {
  const callers = new WeakMap<Request, Caller>()
  return {
    note: (request, { tenant: bound }) => {
      const named = request.headers.get('x-tenant-id')
      if (named !== null && !isTenant(named)) return 'malformed'
      if (named !== null && bound !== undefined && named !== bound) return 'foreign'
      callers.set(request, { tenant: bound ?? named ?? DEFAULT_TENANT, isBound: bound !== undefined })
      return undefined
    },
    of: request => {
      const caller = callers.get(request)
      if (caller === undefined) throw new Error('no caller is known of a request that was not let through')
      return caller
    },
  }
}

/** The same; whose request it is stands in its trace too, and the caller has its span. */
export const tracedCallers = (callers: Callers, spans: RequestSpans): Callers => ({
  note: (request, holder) => {
    const fault = callers.note(request, holder)
    if (fault === undefined) spans.belongs(request, callers.of(request).tenant)
    return fault
  },
  of: request => ({ ...callers.of(request), span: spans.of(request) }),
})
