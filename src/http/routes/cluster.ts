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

/** `/api/v1/cluster`: the nodes of the cluster; without a bus only this one. */
export function clusterRoutes({ census, callers, node }: ClusterOptions) {
  return new Elysia({ name: 'cluster' }).get(
    '/api/v1/cluster',
    async ({ request }) => {
      if (callers.of(request).isBound)
        throw new AppError('FORBIDDEN', {
          message: 'The API key must not be bound to a tenant: the nodes serve all tenants.',
        })
      const { nodes, partial } = await census.nodes()
      return {
        node,
        nodes: nodes.map(({ id, version, connections, since }) => ({ id, version, connections, since })),
        total: nodes.length,
        partial,
      }
    },
    { detail: { summary: 'Lists the nodes', security: [{ apiKey: [] }] } },
  )
}
