import type { Identities, IdentityResult } from '../../auth/identity.ts'
import { tokenOf } from '../../auth/token.ts'
import { AppError, invalidValue } from '../../errors.ts'
import type { RequestLimit } from '../../limit/requests.ts'
import type { Principal } from '../../notification/principal.ts'
import { userTopic } from '../../notification/topic.ts'
import { idsOf, type RequestIds } from '../../observe/request-ids.ts'
import type { RequestSpans } from '../../observe/request-spans.ts'
import { queryOf } from './parameters.ts'

type IdentityRefusal = Pick<Extract<IdentityResult, { ok: false }>, 'kind' | 'reason'>

/** Headers of an answer by lower-case name. */
type AnswerHeaders = Record<string, string | number>

/** Identifies a client by its token. Throws AppError. Adds to `headers` also when it throws. */
export type ClientOf = (request: Request, headers: AnswerHeaders) => Promise<Principal>

interface ClientOptions {
  readonly identities: Pick<Identities, 'of'>
  /** Absent without RATELIMIT_ENABLED. */
  readonly limit: RequestLimit | undefined
  readonly onRefused: (fields: IdentityRefusal & RequestIds) => void
  /** Absent without traces. */
  readonly spans?: RequestSpans | undefined
}

/** Charges an accepted request to its user and a rejected one to its address. */
export function createClientOf({ identities, limit, onRefused, spans }: ClientOptions): ClientOf {
  const refusal = ({ kind, reason }: IdentityRefusal, ids: RequestIds, message: string): AppError => {
    onRefused({ kind, reason, ...ids })
    return new AppError('UNAUTHORIZED', { message, headers: { 'www-authenticate': 'Bearer' } })
  }

  const identify = async (request: Request, ids: RequestIds): Promise<Principal> => {
    const authorization = request.headers.get('authorization')
    const query = queryOf(request.url, [])
    const { token, repeated } = tokenOf({ query, authorization, protocols: null })
    if (repeated) throw invalidValue('token', 'given twice')
    if (token === undefined) throw refusal({ kind: 'jwt', reason: 'no token' }, ids, 'The token is missing.')
    const identified = await identities.of(token)
    if (!identified.ok) throw refusal(identified, ids, 'The token is invalid.')
    return identified.principal
  }

  return async (request, headers) => {
    const charge = (identity: string): void => {
      if (limit !== undefined) Object.assign(headers, limit.charge(identity))
    }
    const principal = await identify(request, idsOf(headers, spans?.of(request))).catch(error => {
      if (limit !== undefined) charge(limit.addressOf(request))
      throw error
    })
    spans?.belongs(request, principal.tenant)
    charge(userTopic(principal.tenant, principal.user))
    return principal
  }
}
