import { Elysia } from 'elysia'
import { AppError } from '../../errors.ts'
import type { Hub } from '../../hub/hub.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Callers } from '../request/caller.ts'

interface ClusterOptions {
  readonly hub: Hub
  readonly callers: Callers
  readonly clock: Clock
  readonly version: string
  readonly node: string
}

/** The nodes that work together: without a bus this one alone. */
export function clusterRoutes({ hub, callers, clock, version, node }: ClusterOptions) {
  const since = new Date(clock.now()).toISOString()
  return new Elysia({ name: 'cluster' }).get(
    '/api/v1/cluster',
    ({ request }) => {
      if (callers.of(request).isBound)
        throw new AppError('FORBIDDEN', {
          message: 'The API key is bound to a tenant; a cluster has all of them.',
        })
      return { node, nodes: [{ id: node, version, connections: hub.size, since }], total: 1 }
    },
    { detail: { summary: 'The nodes', security: [{ apiKey: [] }] } },
  )
}
