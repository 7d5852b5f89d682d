import { Elysia } from 'elysia'
import type { Bus } from '../../bus/bus.ts'
import type { Census } from '../../dispatch/census.ts'
import { AppError } from '../../errors.ts'
import type { LinkState } from '../../lib/redis/reconnecting-link.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Sockets } from '../../limit/sockets.ts'
import type { Fleet } from '../../observe/fleet.ts'
import type { Store } from '../../store/store.ts'
import type { QueueTotals } from '../answer/queue-totals.ts'
import { type RedisReport, redisReport } from '../answer/redis-report.ts'

interface HealthOptions {
  readonly census: Pick<Census, 'here'>
  readonly store: Store
  readonly bus: Pick<Bus, 'kind' | 'isUp'>
  readonly logEnabled: boolean
  readonly totals: QueueTotals
  /** State of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  readonly isDraining: () => boolean
  readonly sockets: Pick<Sockets, 'state'>
  readonly clock: Clock
  readonly version: string
  readonly node: string
  /** The processes that share the port; undefined with a single one. */
  readonly fleet: Pick<Fleet, 'running' | 'configured'> | undefined
}

const isHealthy = (redis: RedisReport['status']): boolean => redis === 'healthy' || redis === 'disabled'

/** `/health` for people and dashboards; `/health/live` and `/health/ready` for orchestrators. */
export function healthRoutes({
  census,
  store,
  bus,
  logEnabled,
  totals,
  redis,
  isDraining,
  sockets,
  clock,
  version,
  node,
  fleet,
}: HealthOptions) {
  const startedAt = clock.monotonic()
  const isStoreHealthy = (): boolean => store.isUp() && store.isSafe?.() !== false
  const reasons = () => [
    ...(isDraining() ? ['draining'] : []),
    ...(store.isUp() ? [] : ['store']),
    ...(bus.isUp() ? [] : ['bus']),
  ]
  const route = (summary: string) => ({ detail: { summary, security: [], 'x-internal': true } as object })

  return new Elysia({ name: 'health' })
    .get(
      '/health',
      async () => {
        const { messages, users, bytes, maxBytes } = await totals()
        // Reads each state once, after the wait: the answer must not contradict itself.
        const { status, connected } = redisReport(redis())
        const storeHealthy = isStoreHealthy()
        const busUp = bus.isUp()
        const { open, max, isFull } = sockets.state
        const here = census.here.totals()
        return {
          status: isHealthy(status) && storeHealthy && busUp && !isFull ? 'healthy' : 'degraded',
          version,
          redis: { status, connected },
          uptime_seconds: Math.floor((clock.monotonic() - startedAt) / 1000),
          node,
          connections: {
            total: here.connections,
            unique_users: here.users,
            channels_count: here.channels,
          },
          queue: {
            enabled: logEnabled,
            backend: store.kind,
            total_messages: messages,
            users_with_queue: users,
          },
          store: {
            kind: store.kind,
            status: storeHealthy ? 'healthy' : 'unavailable',
            // Without a limit there is no fill level to show.
            ...(maxBytes > 0 && { bytes, max_bytes: maxBytes }),
          },
          bus: { kind: bus.kind, status: busUp ? 'healthy' : 'unavailable' },
          ...(fleet && { workers: { running: fleet.running, configured: fleet.configured } }),
          ...(isFull && { sockets: { status: 'full', open, max } }),
        }
      },
      route('State of the service'),
    )
    .get('/health/live', () => ({ status: 'alive' }), route('Answers as long as the process runs'))
    .get(
      '/health/ready',
      () => {
        const missing = reasons()
        if (missing.length === 0) return { status: 'ready' }
        throw new AppError('NOT_READY', { beside: { status: 'not_ready', reasons: missing } })
      },
      route('Whether this node accepts new work'),
    )
}
