import { connectSocket } from '../support/client.ts'
import type { Service } from '../support/service.ts'
import { holdsWithin } from './load.ts'

const EACH_MS = 100
const USER = 'trigger-probe'

/** Publishes messages for a user until one arrives. Resolves with the milliseconds. */
export async function timeUntilTriggersWork(
  [node]: readonly Service[],
  publish: (channel: string, message: object) => Promise<unknown>,
  withinMs: number,
): Promise<number> {
  if (node === undefined) throw new Error('there is no node')
  using client = await connectSocket(`${node.url}/ws?token=${await node.token(USER)}`)
  const startedAt = performance.now()
  const arrived = () => client.inbox.all.filter(({ type }) => type === 'notification')
  const works = await holdsWithin(withinMs, async () => {
    const event = { event_type: 'e', payload: crypto.randomUUID() }
    await publish('notification:user:any', { type: 'user', target: USER, event }).catch(() => {})
    await Bun.sleep(EACH_MS)
    return arrived().length > 0
  })
  if (!works) throw new Error(`no message from Redis arrived within ${withinMs} ms`)
  return performance.now() - startedAt
}
