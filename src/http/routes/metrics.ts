import { Elysia } from 'elysia'
import { createApiKeys } from '../../auth/api-key.ts'
import { bearerIn } from '../../auth/token.ts'
import type { Bus } from '../../bus/bus.ts'
import type { Census } from '../../dispatch/census.ts'
import type { Members } from '../../dispatch/cluster/members.ts'
import { AppError } from '../../errors.ts'
import { takingTurns } from '../../lib/flow/taking-turns.ts'
import type { LinkState } from '../../lib/redis/reconnecting-link.ts'
import { createExposition } from '../../observe/exposition.ts'
import type { Lag } from '../../observe/lag.ts'
import { readProcess } from '../../observe/process.ts'
import { idsOf, type RequestIds } from '../../observe/request-ids.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Store } from '../../store/store.ts'
import { createPageAnswers } from '../answer/page-answers.ts'
import type { QueueTotals } from '../answer/queue-totals.ts'

export interface MetricsOptions {
  readonly census: Pick<Census, 'here'>
  readonly stats: Stats
  readonly store: Pick<Store, 'isUp'>
  readonly bus: Pick<Bus, 'isUp'>
  readonly totals: QueueTotals
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  /** Absent without a bus. */
  readonly members: Pick<Members, 'others'> | undefined
  readonly isDraining: () => boolean
  readonly lag: Pick<Lag, 'seconds'>
  readonly linesDropped: () => number
  readonly version: string
  readonly node: string
  /** METRICS_KEY; without it `/metrics` is open. */
  readonly key: string | undefined
  /** METRICS_CHANNEL_LIMIT: the number of channels with a series of their own. */
  readonly channelLimit: number
  readonly onRefused: (fields: { readonly kind: 'metrics'; readonly reason: string } & RequestIds) => void
}

/** `/metrics`: all metrics in the text format of Prometheus. */
export function metricsRoutes({
  census,
  stats,
  store,
  bus,
  totals,
  redis,
  members,
  isDraining,
  lag,
  linesDropped,
  version,
  node,
  key,
  channelLimit,
  onRefused,
}: MetricsOptions) {
  // Scrapes wait and are never refused; MAX_SOCKETS bounds how many there are.
  const answerPage = createPageAnswers({ waiting: Number.POSITIVE_INFINITY })
  const exposition = createExposition()
  const keys = createApiKeys({ keys: key === undefined ? [] : [key], bound: [] })

  const check = ({ headers }: Request, answer: Readonly<Record<string, unknown>>): void => {
    const bearer = bearerIn(headers.get('authorization')) ?? null
    const shown = headers.get('x-api-key')
    if (keys.holderOf(shown) !== undefined || keys.holderOf(bearer) !== undefined) return
    const reason = (shown ?? bearer) === null ? 'no key' : 'wrong key'
    onRefused({ kind: 'metrics', reason, ...idsOf(answer, undefined) })
    throw new AppError('UNAUTHORIZED', {
      message: 'The METRICS_KEY is missing or invalid: send it as X-API-Key or as a bearer token.',
      headers: { 'www-authenticate': 'Bearer' },
    })
  }

  const write = takingTurns(async () => {
    const [queue, process, largest] = await Promise.all([
      totals(),
      readProcess(),
      census.here.largestChannels(channelLimit),
    ])
    const { byTransport, users, channels } = census.here.totals()
    return exposition.write({
      stats,
      total: stats.tally.total(),
      connections: byTransport,
      users,
      channels,
      largestChannels: largest,
      redis: redis(),
      queue,
      storeUp: store.isUp(),
      busUp: bus.isUp(),
      nodes: 1 + (members?.others().length ?? 0),
      draining: isDraining(),
      lagSeconds: lag.seconds,
      linesDropped: linesDropped(),
      process,
      version,
      node,
    })
  })

  return new Elysia({ name: 'metrics' }).get(
    '/metrics',
    ({ request, set, server }) => {
      check(request, set.headers)
      // Without a key anyone may ask: a stalled client must delay only its own address.
      const identity = server?.requestIP(request)?.address ?? ''
      return answerPage({ request, identity, server, type: exposition.contentType, isLookUp: true }, write)
    },
    {
      detail: {
        summary: 'All metrics, as text for Prometheus',
        security: [],
        'x-internal': true,
      } as object,
    },
  )
}
