import type { Topic } from '../../notification/topic.ts'
import type { CloseReason } from '../../protocol/close-codes.ts'
import type { Census } from '../census.ts'
import type { Reach } from '../reach.ts'
import type { Calls } from './calls.ts'

interface ClusterReachOptions {
  readonly local: Reach
  readonly census: Census
  readonly countElsewhere: Reach['countElsewhere']
  readonly calls: Calls
}

/** Reaches the connections of all nodes. */
export function createClusterReach({ local, census, countElsewhere, calls }: ClusterReachOptions): Reach {
  calls.on('close', async (text, topic) => {
    const { reason, words } = JSON.parse(text) as { readonly reason: CloseReason; readonly words?: string }
    return String(await local.close(topic as Topic, reason, words))
  })

  return {
    ...local,
    census,
    countElsewhere,
    close: async (owner, reason, words) => {
      const [here, { texts }] = await Promise.all([
        local.close(owner, reason, words),
        calls.ask(owner, 'close', JSON.stringify({ reason, words })),
      ])
      return texts.reduce((sum, text) => sum + Number(text), here)
    },
  }
}
