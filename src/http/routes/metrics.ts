import { Elysia } from 'elysia'
import { createApiKeys } from '../../auth/api-key.ts'
import { bearerIn } from '../../auth/token.ts'
import { AppError } from '../../errors.ts'
import { takingTurns } from '../../lib/flow/taking-turns.ts'
import { CONTENT_TYPE, readMetrics, writeMetrics } from '../../observe/exposition.ts'
import type { Fleet } from '../../observe/fleet.ts'
import type { MetricSources } from '../../observe/metrics.ts'
import { idsOf, type RequestIds } from '../../observe/request-ids.ts'
import { createPageAnswers } from '../answer/page-answers.ts'

export interface MetricsOptions {
  readonly sources: () => Promise<MetricSources>
  /** The other processes that share the port; undefined with a single process. */
  readonly fleet: Pick<Fleet, 'others'> | undefined
  /** METRICS_KEY; without it `/metrics` is open. */
  readonly key: string | undefined
  readonly onRefused: (fields: { readonly kind: 'metrics'; readonly reason: string } & RequestIds) => void
}

/** `/metrics`: all metrics in the text format of Prometheus. */
export function metricsRoutes({ sources, fleet, key, onRefused }: MetricsOptions) {
  // Scrapes wait and are never refused; MAX_SOCKETS bounds how many there are.
  const answerPage = createPageAnswers({ waiting: Number.POSITIVE_INFINITY })
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
    const own = await readMetrics(await sources())
    return writeMetrics([own, ...((await fleet?.others(own)) ?? [])])
  })

  return new Elysia({ name: 'metrics' }).get(
    '/metrics',
    ({ request, set, server }) => {
      check(request, set.headers)
      // Without a key anyone may ask: a stalled client must delay only its own address.
      const identity = server?.requestIP(request)?.address ?? ''
      return answerPage({ request, identity, server, type: CONTENT_TYPE, isLookUp: true }, write)
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
