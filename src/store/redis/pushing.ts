import type { Clock } from '../../lib/time/clock.ts'
import { tenantOf } from '../../notification/topic.ts'
import type { PushSource } from '../push.ts'
import type { Draft } from '../store.ts'
import type { Sharers } from './bodies.ts'
import type { Command } from './server.ts'

/** Pushes new entries to other nodes. */
export interface Pushing {
  /** Id of a new push. */
  begin(): number
  /** Arguments of the script that appends and pushes. Call in the turn that sends it. */
  args(id: number, draft: Draft): readonly [channel: string, head: string, times: string]
  /** Commands that publish the bodies that these drafts share; `published` names those that the append has published. */
  tellBodies(drafts: readonly Draft[], sharers: Sharers, published: Set<string>): readonly Command[]
}

/** Milliseconds with one digit: the shortest text that is exact enough. */
const tenths = (ms: number): number => Math.round(ms * 10) / 10

export const createPushing = (source: PushSource, clock: Pick<Clock, 'monotonic'>): Pushing => ({
  begin: source.begin,
  args: (id, { owner, acceptedAt }) => {
    const now = clock.monotonic()
    const since = acceptedAt ?? now
    return [source.channelOf(owner), source.headOf(id), `${tenths(now - since)} ${tenths(since)}`]
  },
  tellBodies: (drafts, sharers, published) =>
    drafts.flatMap(({ owner, id, body }): Command[] => {
      if (!sharers.has(id) || published.has(id)) return []
      published.add(id)
      const { channel, message } = source.share(tenantOf(owner), id, body)
      return [['publish', channel, message]]
    }),
})
