import { Elysia } from 'elysia'
import type { Census } from '../../dispatch/census.ts'
import { AppError } from '../../errors.ts'
import type { Callers } from '../request/caller.ts'

interface ClusterOptions {
  readonly census: Pick<Census, 'nodes'>
  readonly callers: Callers
  /** The id of this node. */
  readonly node: string
}

/** The nodes that work together: without a bus this one alone. */
export function clusterRoutes({ census, callers, node }: ClusterOptions) {
  return new Elysia({ name: 'cluster' }).get(
    '/api/v1/cluster',
    async ({ request }) => {
      if (callers.of(request).isBound)
        throw new AppError('FORBIDDEN', {
          message: 'The API key is bound to a tenant; a cluster has all of them.',
        })
      const nodes = await census.nodes()
      return {
        node,
        nodes: nodes.map(({ id, version, connections, since }) => ({ id, version, connections, since })),
        total: nodes.length,
      }
    },
    { detail: { summary: 'The nodes', security: [{ apiKey: [] }] } },
  )
}
