import { Elysia } from 'elysia'
import type { Census, ChannelCount, TenantReport } from '../../dispatch/census.ts'
import type { LinkState } from '../../lib/redis/reconnecting-link.ts'
import { type AckCounts, sentOf, type TenantTally } from '../../observe/tally.ts'
import { createPageAnswers, keyOf } from '../answer/page-answers.ts'
import { redisReport } from '../answer/redis-report.ts'
import type { Callers } from '../request/caller.ts'

interface StatsOptions {
  readonly census: Census
  readonly callers: Callers
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  readonly ackEnabled: boolean
}

const MAX_CHANNELS = 1_000

/** The rate is 1 until a notification is acknowledged or expires. */
const ackReport = ({ tracked, acked, expired, latencyMs }: AckCounts) => ({
  enabled: true,
  total_tracked: tracked,
  total_acked: acked,
  total_expired: expired,
  pending_count: tracked - acked - expired,
  ack_rate: acked + expired === 0 ? 1 : acked / (acked + expired),
  avg_latency_ms: acked === 0 ? 0 : latencyMs / acked,
})

const connectionReport = ({ connections, users }: TenantReport, channels: readonly ChannelCount[]) => ({
  total_connections: connections,
  unique_users: users,
  channels: Object.fromEntries(channels.map(({ name, subscribers }) => [name, subscribers])),
})

const notificationReport = ({ sent, delivered, failed }: Readonly<TenantTally>) => ({
  total_sent: sentOf({ sent }),
  total_delivered: delivered,
  total_failed: failed,
  user_notifications: sent.user + sent.users,
  broadcast_notifications: sent.broadcast,
  channel_notifications: sent.channel + sent.channels,
})

/** `/stats`: open connections and counters of the caller's tenant. */
export function statsRoutes({ census, callers, redis, ackEnabled }: StatsOptions) {
  const answerPage = createPageAnswers()

  return new Elysia({ name: 'stats' }).get(
    '/stats',
    ({ request, server }) => {
      const { tenant } = callers.of(request)
      return answerPage({ request, identity: keyOf(request), server }, async () => {
        const { channels, partial } = await census.largestChannels(tenant, MAX_CHANNELS)
        const report = await census.tenant(tenant)
        return JSON.stringify({
          connections: connectionReport(report, channels),
          notifications: notificationReport(report.tally),
          redis: redisReport(redis()),
          ...(ackEnabled && { ack: ackReport(report.tally.acks) }),
          partial: partial ?? report.partial,
        })
      })
    },
    {
      detail: {
        summary: 'Open connections and counters of the tenant',
        security: [{ apiKey: [] }],
        'x-internal': true,
      } as object,
    },
  )
}
