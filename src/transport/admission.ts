import type { Identities, IdentityResult } from '../auth/identity.ts'
import type { Origins } from '../auth/origin.ts'
import { tokenOf } from '../auth/token.ts'
import type { ResumeRequest } from '../dispatch/start.ts'
import { AppError, invalidValue } from '../errors.ts'
import { readQuery } from '../lib/query.ts'
import type { ConnectLimit } from '../limit/requests.ts'
import type { Principal } from '../notification/principal.ts'
import { idsOf, type RequestIds } from '../observe/request-ids.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import type { MakeRoom } from './make-room.ts'

/** Who asks for a connection, as far as the request tells. */
export interface Admission {
  readonly principal: Principal
  readonly wish: ResumeRequest
  /** Nobody could say whether the token was revoked. */
  readonly unchecked: boolean
  /** To be selected in the answer to an upgrade. */
  readonly subprotocol?: 'bearer'
}

type IdentityRefusal = Pick<Extract<IdentityResult, { ok: false }>, 'kind' | 'reason'>

/** `headers` are those of the answer, by lower-case name. */
export type Admit = (
  request: Request,
  transport: 'ws' | 'sse',
  headers: Readonly<Record<string, unknown>>,
) => Promise<Admission>

export interface AdmissionOptions {
  readonly origins: Origins
  readonly identities: Pick<Identities, 'forNow'>
  readonly isDraining: () => boolean
  /** False when there are too many sockets. */
  readonly admits?: () => boolean
  readonly makeRoom?: MakeRoom
  readonly retryAfterSeconds: number
  /** Absent when tries to connect are not limited. */
  readonly limit: ConnectLimit | undefined
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly spans?: RequestSpans | undefined
  readonly onRefused: (
    fields: { readonly kind: IdentityRefusal['kind'] | 'origin'; readonly reason: string } & RequestIds,
  ) => void
}

/** Most clients wish for nothing: one for all of them, since each would be kept. */
const NO_WISH: ResumeRequest = {}

/** An empty header is none; the header wins. */
function wishOf(query: URLSearchParams, headers: Headers, transport: 'ws' | 'sse'): ResumeRequest {
  const header = transport === 'sse' ? headers.get('last-event-id') : null
  const cursor = header || query.get('cursor')
  return cursor === null ? NO_WISH : { cursor }
}

/** The checks before a connection, in this order: origin, draining, rate, query, token. */
export function createAdmission({
  origins,
  identities,
  isDraining,
  admits,
  makeRoom,
  retryAfterSeconds,
  limit,
  stats,
  spans,
  onRefused,
}: AdmissionOptions): Admit {
  const refuse = ({ kind, reason }: IdentityRefusal, ids: RequestIds, message: string): AppError => {
    stats.connectionsRefused.token++
    onRefused({ kind, reason, ...ids })
    return new AppError('UNAUTHORIZED', { message, headers: { 'www-authenticate': 'Bearer' } })
  }

  const checkDraining = (): void => {
    if (!isDraining()) return
    stats.connectionsRefused.draining++
    throw new AppError('SHUTTING_DOWN', { headers: { 'retry-after': String(retryAfterSeconds) } })
  }

  const checkSockets = (): void => {
    if (admits?.() !== false) return
    stats.connectionsRefused.total++
    throw new AppError('CONNECTION_LIMIT', {
      message: 'Too many sockets are open (MAX_SOCKETS): try again later.',
      headers: { 'retry-after': '5', connection: 'close' },
    })
  }

  /** Before the token is looked at: a wrong one costs as much. */
  const checkRate = (request: Request): void => {
    try {
      limit?.(request)
    } catch (error) {
      stats.connectionsRefused.rate++
      throw error
    }
  }

  return async (request, transport, answer) => {
    const { headers } = request
    const ids = idsOf(answer, spans?.of(request))
    if (!origins.allows(headers.get('origin'))) {
      stats.connectionsRefused.origin++
      onRefused({ kind: 'origin', reason: 'origin not in CORS_ORIGINS', ...ids })
      throw new AppError('FORBIDDEN', { message: 'The Origin of this page is not in CORS_ORIGINS.' })
    }
    checkDraining()
    checkSockets()
    checkRate(request)
    const query = readQuery(request.url, ['cursor'])
    if (!(query instanceof URLSearchParams)) throw invalidValue(query.path, query.message)
    const protocols = transport === 'ws' ? headers.get('sec-websocket-protocol') : null
    const { token, subprotocol, repeated } = tokenOf({
      query,
      authorization: headers.get('authorization'),
      protocols,
    })
    if (repeated) throw invalidValue('token', 'given twice')
    if (token === undefined) throw refuse({ kind: 'jwt', reason: 'no token' }, ids, 'The token is missing.')
    const identified = await identities.forNow(token)
    if (!identified.ok) throw refuse(identified, ids, 'The token is invalid.')
    spans?.belongs(request, identified.principal.tenant)
    await makeRoom?.(identified.principal)
    // Who comes when the drain has begun would not be told of it.
    checkDraining()
    const wish = wishOf(query, headers, transport)
    const { principal, unchecked } = identified
    return { principal, wish, unchecked, ...(subprotocol && { subprotocol }) }
  }
}
