import type { KeyHolder } from '../../auth/api-key.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { RequestSpans } from '../../observe/request-spans.ts'
import { DEFAULT_TENANT, isTenant } from '../../protocol/names.ts'

/** The backend that sends a request with an API key. */
export interface Caller {
  /** The tenant whose users and channels the request concerns. */
  readonly tenant: string
  /** True if the key belongs to this tenant: it must learn nothing of others. */
  readonly isBound: boolean
  /** Span of the request; absent without traces. */
  readonly span?: Span | undefined
}

/** Callers by request: the guard notes them, handlers ask for them. */
export interface Callers {
  /** Notes the caller. `foreign`: the key has another tenant; `malformed`: invalid tenant name. */
  note(request: Request, holder: KeyHolder): 'foreign' | 'malformed' | undefined
  /** The caller of a request that the guard accepted. */
  of(request: Request): Caller
}

/** Callers without tenancy: every request concerns the default tenant. */
export function oneTenant(): Callers {
  const caller = { tenant: DEFAULT_TENANT, isBound: false }
  return { note: () => undefined, of: () => caller }
}

/** Callers with tenancy: the key's tenant, else `X-Tenant-ID`, else the default tenant. */
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
      if (caller === undefined) throw new Error('the guard did not accept this request')
      return caller
    },
  }
}

/** Adds the tenant to the trace of a request, and the span to its caller. */
export const tracedCallers = (callers: Callers, spans: RequestSpans): Callers => ({
  note: (request, holder) => {
    const fault = callers.note(request, holder)
    if (fault === undefined) spans.belongs(request, callers.of(request).tenant)
    return fault
  },
  of: request => ({ ...callers.of(request), span: spans.of(request) }),
})
