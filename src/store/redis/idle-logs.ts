import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Batches } from './batches.ts'
import { IDLE_KEY, idleKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command } from './server.ts'

/** Logs without a trace of any entry. They make room when a limit on stored bytes is reached. */
export interface IdleLogs {
  /** Commands that index idle logs: pairs of the time of the last append and the user. */
  note(idle: readonly (readonly [touched: number, owner: Topic])[]): readonly Command[]
  /** Forgets the oldest idle logs of a tenant, or of all tenants. Returns whether it forgot any. */
  forget(tenant?: string): Promise<boolean>
}

const FORGOTTEN_AT_ONCE = 500
const BYTES = 200

export function createIdleLogs({
  batches,
  scripts,
}: {
  readonly batches: Batches
  readonly scripts: LogScripts
}): IdleLogs {
  /** Searches under way. Callers for the same tenant share one. */
  const underWay = new Map<string | undefined, Promise<boolean>>()

  const search = async (tenant: string | undefined): Promise<boolean> => {
    const key = tenant === undefined ? IDLE_KEY : idleKey(tenant)
    const [found] = await batches.run({
      bytes: BYTES,
      build: () => [['zrange', key, 0, FORGOTTEN_AT_ONCE - 1]],
    })
    // `note` wrote these values.
    const owners = (Array.isArray(found) ? found : []) as readonly Topic[]
    if (owners.length === 0) return false
    const answers = await Promise.all(owners.map(owner => scripts.ask(owner, SCRIPTS.forget, [])))
    await batches.run({
      bytes: owners.length * BYTES,
      build: () => [
        ['zrem', IDLE_KEY, ...owners],
        ...[...Map.groupBy(owners, tenantOf)].map(
          ([name, theirs]): Command => ['zrem', idleKey(name), ...theirs],
        ),
      ],
    })
    return answers.some(([isForgotten]) => isForgotten === 1)
  }

  return {
    note: idle => {
      if (idle.length === 0) return []
      const byTenant = [...Map.groupBy(idle, ([, owner]) => tenantOf(owner))]
      return [
        ['zadd', IDLE_KEY, ...idle.flat()],
        ...byTenant.map(([tenant, theirs]): Command => ['zadd', idleKey(tenant), ...theirs.flat()]),
      ]
    },
    forget: tenant => {
      const known = underWay.get(tenant)
      if (known !== undefined) return known
      const searching = search(tenant).finally(() => underWay.delete(tenant))
      underWay.set(tenant, searching)
      return searching
    },
  }
}
