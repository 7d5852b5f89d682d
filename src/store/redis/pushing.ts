import type { Clock } from '../../lib/time/clock.ts'
import { tenantOf } from '../../notification/topic.ts'
import type { Push, PushSource } from '../push.ts'
import type { Draft } from '../store.ts'
import type { Sharers } from './bodies.ts'
import type { Command } from './server.ts'

/** The pushes of one group of drafts. Ends with `reached` or `lost`. */
export interface PushGroup {
  /** Arguments of the n-th draft's script. */
  args(draft: Draft): readonly (string | number)[]
  /** The n-th push reached this number of nodes. */
  reached(n: number, nodes: number): Push | undefined
  /** No push of the group has a known outcome. */
  lost(): void
}

/** Pushes the entries of one append to other nodes. */
export interface Pushing {
  /** Call in the turn that sends the commands of the group. */
  group(): PushGroup
  /** Commands that tell the bodies that these drafts share; each body once per append. */
  tellBodies(drafts: readonly Draft[], sharers: Sharers): readonly Command[]
}

export const createPushing = (source: PushSource, clock: Pick<Clock, 'monotonic'>) => (): Pushing => {
  const told = new Set<string>()

  return {
    group: () => {
      const ids: number[] = []
      return {
        args: ({ owner, acceptedAt }) => {
          const { id, head } = source.begin()
          ids.push(id)
          const now = clock.monotonic()
          const since = acceptedAt ?? now
          return [source.channelOf(owner), head, `${(now - since).toFixed(1)} ${since}`]
        },
        reached: (n, nodes) => {
          const id = ids[n]
          if (id === undefined) return undefined
          if (nodes > 0) return { id, nodes }
          source.cancel(id)
          return undefined
        },
        lost: () => {
          for (const id of ids) source.cancel(id)
        },
      }
    },
    tellBodies: (drafts, sharers) =>
      drafts.flatMap(({ owner, id, body }): Command[] => {
        if (!sharers.has(id) || told.has(id)) return []
        told.add(id)
        const { channel, message } = source.share(tenantOf(owner), id, body)
        return [['publish', channel, message]]
      }),
  }
}
