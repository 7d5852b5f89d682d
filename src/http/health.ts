import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import type { LinkState } from '../lib/link.ts'
import type { Store } from '../store/store.ts'
import { redisReport } from './redis-report.ts'

interface HealthOptions {
  readonly hub: Hub
  readonly store: Store
  readonly logEnabled: boolean
  /** Of the trigger's connection; undefined without a trigger. */
  readonly redis: () => LinkState | undefined
  readonly isDraining: () => boolean
  readonly clock: Clock
  readonly version: string
  readonly node: string
}

/** `/health` for people and dashboards, `/health/live` and `/health/ready` for whoever restarts and routes. */
export function healthRoutes({
  hub,
  store,
  logEnabled,
  redis,
  isDraining,
  clock,
  version,
  node,
}: HealthOptions) {
  const startedAt = clock.monotonic()
  const queue = async () => {
    const { messages, users } = logEnabled ? await store.log.totals() : { messages: 0, users: 0 }
    return { enabled: logEnabled, backend: store.kind, total_messages: messages, users_with_queue: users }
  }
  const route = (summary: string) => ({ detail: { summary, security: [] } })

  return new Elysia({ name: 'health' })
    .get(
      '/health',
      async () => {
        const { status, connected } = redisReport(redis())
        return {
          status: status === 'healthy' || status === 'disabled' ? 'healthy' : 'degraded',
          version,
          redis: { status, connected },
          uptime_seconds: Math.floor((clock.monotonic() - startedAt) / 1000),
          node,
          connections: {
            total: hub.size,
            unique_users: hub.count('user'),
            channels_count: hub.count('channel'),
          },
          queue: await queue(),
          store: { kind: store.kind, status: 'healthy' },
          bus: { kind: 'none', status: 'healthy' },
        }
      },
      route('How the service is'),
    )
    .get('/health/live', () => ({ status: 'alive' }), route('Answers while the process does'))
    .get(
      '/health/ready',
      () => {
        if (!isDraining()) return { status: 'ready' }
        throw new AppError('NOT_READY', { beside: { status: 'not_ready', reasons: ['draining'] } })
      },
      route('Whether new work may be sent here'),
    )
}
