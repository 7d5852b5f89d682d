import type { ChannelAccess } from '../auth/channel-access.ts'
import type { Identities, IdentityResult } from '../auth/identity.ts'
import type { Origins } from '../auth/origin.ts'
import { tokenOf } from '../auth/token.ts'
import type { Interest } from '../dispatch/cluster/interest.ts'
import { NO_CONNECTIONS, type OpenConnections } from '../dispatch/reach.ts'
import { AppError, invalidValue } from '../errors.ts'
import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import { type Query, readQuery } from '../lib/query.ts'
import type { ConnectLimit } from '../limit/requests.ts'
import type { LimitsOf } from '../limit/tenants.ts'
import type { Principal } from '../notification/principal.ts'
import { tenantTopic, userTopic } from '../notification/topic.ts'
import { idsOf, type RequestIds } from '../observe/request-ids.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import type { MakeRoom } from './make-room.ts'
import type { ConnectRequest, Opening } from './peer.ts'
import { checkCount, deniedChannels, requestedChannels } from './requested-channels.ts'

/** An admitted request for a connection. */
export interface Admission extends Opening {
  readonly principal: Principal
  /** Subprotocol for the answer to the upgrade. */
  readonly subprotocol: 'bearer' | undefined
}

type IdentityRefusal = Pick<Extract<IdentityResult, { ok: false }>, 'kind' | 'reason'>

/** Admits a request, in its turn if nothing must be asked. May throw or reject. `headers` are those of the answer, in lower case. */
export type Admit = (
  request: Request,
  transport: 'ws' | 'sse',
  headers: Readonly<Record<string, unknown>>,
) => Awaitable<Admission>

export interface AdmissionOptions {
  readonly origins: Origins
  readonly identities: Pick<Identities, 'forNow'>
  readonly access: ChannelAccess
  /** Channels of one connection in any tenant; 0 = no limit. */
  readonly maxChannels: number
  readonly limitsOf: LimitsOf
  readonly isDraining: () => boolean
  /** Returns false above MAX_SOCKETS. */
  readonly admits?: () => boolean
  /** Absent without a bus. */
  readonly interest?: Interest | undefined
  /** Counts connections on other nodes; undefined without a bus. */
  readonly countElsewhere?: ((principal: Principal) => Promise<OpenConnections> | undefined) | undefined
  readonly makeRoom?: MakeRoom
  readonly retryAfterSeconds: number
  /** Absent without a rate limit on connecting. */
  readonly limit: ConnectLimit | undefined
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly spans?: RequestSpans | undefined
  readonly onRefused: (
    fields: { readonly kind: IdentityRefusal['kind'] | 'origin'; readonly reason: string } & RequestIds,
  ) => void
}

/** Shared by all connections without a cursor and channels, to save memory. */
const NO_WISH: ConnectRequest = {}

/** Prefers `Last-Event-ID`; an empty header counts as absent. */
function connectRequestOf(
  query: Query,
  channels: readonly string[] | undefined,
  header: string | null,
): ConnectRequest {
  const cursor = header || query.get('cursor')
  if (channels === undefined) return cursor === null ? NO_WISH : { cursor }
  return { channels, ...(cursor !== null && { cursor }) }
}

/** Joins the client's topics before its upgrade: from its `open` event on, sends of all nodes reach it. */
async function joinAhead(interest: Interest, { tenant, user }: Principal): Promise<void> {
  const topics = [userTopic(tenant, user), tenantTopic(tenant)]
  await interest.join(topics)
  // The connection may not come to be.
  interest.release(topics)
}

/** Checks a request, in this order: origin, draining, sockets, rate, query, token, channels. Then counts connections on other nodes. */
export function createAdmission({
  origins,
  identities,
  access,
  maxChannels,
  limitsOf,
  isDraining,
  admits,
  interest,
  countElsewhere,
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

  /** Runs before the token check, which costs the same for a wrong token. */
  const checkRate = (request: Request): void => {
    try {
      limit?.(request)
    } catch (error) {
      stats.connectionsRefused.rate++
      throw error
    }
  }

  const checkAccess = (channels: readonly string[], principal: Principal): void => {
    const denied = deniedChannels(channels, principal, access)
    if (denied.length === 0) return
    stats.connectionsRefused.token++
    throw new AppError('FORBIDDEN', { details: denied })
  }

  const elsewhereOf = (principal: Principal): Awaitable<OpenConnections> =>
    whenReady(
      countElsewhere?.(principal) ?? NO_CONNECTIONS,
      counted => makeRoom?.(principal, counted) ?? counted,
    )

  return (request, transport, answer) => {
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
    const query = readQuery(request.url, ['cursor', 'channels'])
    if ('path' in query) throw invalidValue(query.path, query.message)
    const channels = requestedChannels(query)
    checkCount(channels ?? [], maxChannels)
    const protocols = transport === 'ws' ? headers.get('sec-websocket-protocol') : null
    const { token, subprotocol, repeated } = tokenOf({
      query,
      authorization: headers.get('authorization'),
      protocols,
    })
    if (repeated) throw invalidValue('token', 'given twice')
    if (token === undefined) throw refuse({ kind: 'jwt', reason: 'no token' }, ids, 'The token is missing.')
    const connectRequest = connectRequestOf(
      query,
      channels,
      transport === 'sse' ? headers.get('last-event-id') : null,
    )
    return whenReady(identities.forNow(token), identified => {
      if (!identified.ok) throw refuse(identified, ids, 'The token is invalid.')
      const { principal, unchecked } = identified
      spans?.belongs(request, principal.tenant)
      checkCount(channels ?? [], limitsOf(principal.tenant).subscriptions)
      checkAccess(channels ?? [], principal)
      const admitted = (elsewhere: OpenConnections): Admission => {
        // The drain may have begun meanwhile; it would miss this connection.
        checkDraining()
        return { principal, connectRequest, elsewhere, unchecked, subprotocol }
      }
      const elsewhere = elsewhereOf(principal)
      if (interest === undefined) return whenReady(elsewhere, admitted)
      return Promise.all([elsewhere, joinAhead(interest, principal)]).then(([counted]) => admitted(counted))
    })
  }
}
