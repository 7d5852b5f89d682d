import { expect, test } from 'bun:test'
import type { BusTopic } from '../../src/bus/bus.ts'
import { createSubscriptions } from '../../src/bus/subscriptions.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createStoppedClock } from '../support/clock.ts'
import { createInbox } from '../support/inbox.ts'

/** Records commands; a subscription is confirmed when the test says so. */
function fakeRedis() {
  const commands = createInbox<{
    readonly name: 'subscribe' | 'unsubscribe'
    readonly channels: readonly string[]
    readonly confirm: () => void
  }>()
  const command =
    (name: 'subscribe' | 'unsubscribe') =>
    (...channels: string[]): Promise<number> =>
      new Promise(resolve => commands.push({ name, channels, confirm: () => resolve(0) }))
  // Arguments of ioredis have many forms; the bus uses texts.
  const client = { subscribe: command('subscribe'), unsubscribe: command('unsubscribe') } as never
  return { client, commands }
}

test('a topic that is left while a new connection subscribes to all topics is not subscribed to later', async () => {
  const clock = createStoppedClock()
  using subscriptions = createSubscriptions({ channelOf: topic => topic, clock })
  const topics = Array.from({ length: 1_500 }, (_, n): BusTopic => channelTopic('default', `c${n}`))
  for (const topic of topics) expect(subscriptions.join(topic)).toBeUndefined()
  const { client, commands } = fakeRedis()
  const attached = awaitedLater(subscriptions.attach(client, () => {}))
  const first = await commands.next()
  expect(first.channels).toEqual(topics.slice(0, 1_000))
  subscriptions.leave(topics[1_200] as BusTopic)
  clock.jump(2)
  const left = await commands.next()
  expect([left.name, left.channels]).toEqual(['unsubscribe', [topics[1_200] as string]])
  first.confirm()
  const second = await commands.next()
  second.confirm()
  await attached
  expect(second.channels).toEqual(topics.slice(1_000).filter(topic => topic !== topics[1_200]))
})

test('topics joined in one turn are one command, and joins without a connection resolve at once', async () => {
  const clock = createStoppedClock()
  using subscriptions = createSubscriptions({ channelOf: topic => `x:${topic}`, clock })
  const { client, commands } = fakeRedis()
  await subscriptions.attach(client, () => {})
  const [a, b] = [channelTopic('default', 'a'), channelTopic('default', 'b')]
  const joins = [subscriptions.join(a), subscriptions.join(b), subscriptions.join(a)]
  const { channels, confirm } = await commands.next()
  expect(channels).toEqual([`x:${a}`, `x:${b}`])
  expect(joins.every(join => join instanceof Promise)).toBe(true)
  confirm()
  await Promise.all(joins)
  expect(subscriptions.join(a)).toBeUndefined()
  subscriptions.detach()
  expect(subscriptions.join(channelTopic('default', 'c'))).toBeUndefined()
})

test('the subscription to a topic is another one after the topic was left, and after the connection was lost', async () => {
  const clock = createStoppedClock()
  using subscriptions = createSubscriptions({ channelOf: topic => topic, clock })
  const { client, commands } = fakeRedis()
  const topic = channelTopic('default', 'a')
  await subscriptions.attach(client, () => {})
  const join = async () => {
    const confirmNext = async () => {
      expect(subscriptions.of(topic)).toBeUndefined()
      const { confirm } = await commands.next()
      confirm()
    }
    await Promise.all([subscriptions.join(topic), confirmNext()])
    return subscriptions.of(topic)
  }
  const first = await join()
  expect(first).toBeDefined()
  expect(subscriptions.of(topic)).toBe(first)
  subscriptions.leave(topic)
  expect(subscriptions.of(topic)).toBe(first)
  clock.jump(2)
  await commands.next()
  expect(subscriptions.of(topic)).toBeUndefined()
  const second = await join()
  expect(second).not.toBe(first)
  subscriptions.detach()
  expect(subscriptions.of(topic)).toBeUndefined()
  const other = fakeRedis()
  const confirmNext = async () => {
    expect(subscriptions.of(topic)).toBeUndefined()
    const { confirm } = await other.commands.next()
    confirm()
  }
  await Promise.all([subscriptions.attach(other.client, () => {}), confirmNext()])
  expect(subscriptions.of(topic)).toBeDefined()
  expect(subscriptions.of(topic)).not.toBe(second)
})
