import type { Operations } from '../openapi/operation.ts'
import { batchOperations } from './batch/batch.operations.ts'
import { channelOperations } from './channels.operations.ts'
import { clusterOperations } from './cluster.operations.ts'
import { connectionOperations } from './connections.operations.ts'
import { documentOperations } from './documents.operations.ts'
import { healthOperations } from './health.operations.ts'
import { historyOperations } from './history.operations.ts'
import { meOperations } from './me.operations.ts'
import { metricsOperations } from './metrics.operations.ts'
import { notificationOperations } from './notifications.operations.ts'
import { statsOperations } from './stats.operations.ts'
import { templateOperations } from './templates.operations.ts'
import { tenantOperations } from './tenants.operations.ts'
import { userOperations } from './users.operations.ts'

/** Operations of all routes. Each group keeps its table beside its routes. */
export const OPERATIONS: Operations = {
  ...batchOperations,
  ...channelOperations,
  ...clusterOperations,
  ...connectionOperations,
  ...documentOperations,
  ...healthOperations,
  ...historyOperations,
  ...meOperations,
  ...metricsOperations,
  ...notificationOperations,
  ...statsOperations,
  ...templateOperations,
  ...tenantOperations,
  ...userOperations,
}
