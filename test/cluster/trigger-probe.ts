import { expect } from 'bun:test'
import { connectSocket } from '../support/client.ts'
import type { Service } from '../support/service.ts'
import { holdsWithin } from './load.ts'

const EACH_MS = 100
/** Enough to see one that comes twice. */
const ARRIVALS = 5
const USER = 'trigger-probe'

/** Publishes messages for a user until some arrive. Resolves with the milliseconds; no message may arrive twice. */
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
    return arrived().length >= ARRIVALS
  })
  if (!works) throw new Error(`${arrived().length} messages from Redis arrived within ${withinMs} ms`)
  const payloads = arrived().map(({ payload }) => payload)
  expect(payloads).toEqual([...new Set(payloads)])
  return performance.now() - startedAt
}
