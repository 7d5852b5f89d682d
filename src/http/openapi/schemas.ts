import type * as v from 'valibot'
import { alternativesOf } from '../../lib/json/document.ts'
import { audience } from '../../protocol/audience.ts'
import { batch } from '../routes/batch/batch.ts'
import { item, target } from '../routes/batch/items.ts'
import { acks } from '../routes/me.ts'
import { formats } from '../routes/notifications.ts'
import { change, creation } from '../routes/templates.ts'
import { disconnection } from '../routes/users.ts'
import * as answers from './answers.ts'
import * as operating from './operating-answers.ts'

/** The schema of a send and its two alternatives: payload or template. */
function sending<N extends string>(
  name: N,
  schema: v.GenericSchema,
): Record<N | `${N}Directly` | `${N}ByTemplate`, v.GenericSchema> {
  const [direct = schema, templated = schema] = alternativesOf(schema)
  return { [name]: schema, [`${name}Directly`]: direct, [`${name}ByTemplate`]: templated } as Record<
    N | `${N}Directly` | `${N}ByTemplate`,
    v.GenericSchema
  >
}

/** All schemas of the document by name. Request schemas are those that validate requests. */
export const SCHEMAS = {
  ...sending('SendToUser', formats.user.schema),
  ...sending('SendToUsers', formats.users.schema),
  ...sending('Broadcast', formats.broadcast.schema),
  ...sending('SendToChannel', formats.channel.schema),
  ...sending('SendToChannels', formats.channels.schema),
  Batch: batch,
  ...sending('BatchItem', item),
  BatchTarget: target,
  Audience: audience,
  TemplateCreation: creation.schema,
  TemplateChange: change.schema,
  Disconnection: disconnection,
  Acknowledgement: acks,
  SendResult: answers.sendResult,
  BatchResult: answers.batchResult,
  Template: answers.template,
  Templates: answers.templates,
  Trace: answers.trace,
  Log: answers.log,
  Acknowledged: answers.acked,
  Channel: answers.channel,
  Channels: answers.channels,
  Subscriptions: answers.subscriptions,
  Presence: answers.presence,
  Disconnected: answers.disconnected,
  Tenant: answers.tenant,
  Tenants: answers.tenants,
  Cluster: answers.cluster,
  Stats: operating.stats,
  Health: operating.health,
  Service: operating.service,
  Alive: operating.alive,
  Ready: operating.ready,
} satisfies Record<string, v.GenericSchema>

export type SchemaName = keyof typeof SCHEMAS
