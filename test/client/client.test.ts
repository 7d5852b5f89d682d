import { expect, test } from 'bun:test'
import { createClient } from '../../client/src/index.ts'
import { startTestApp } from '../support/app.ts'
import { createInbox } from '../support/inbox.ts'
import { startProxy } from '../support/proxy.ts'
import { publish, send } from '../support/visit.ts'

interface Events {
  e: unknown
}

test('a client receives what its user missed, what comes, and what comes to its channels', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  using client = createClient<Events>({ url: service.url, token: () => service.token('ann') })
  const got = createInbox<unknown>()
  expect(client.connection).toEqual({ state: 'idle' })
  await send(service, 'ann', 'missed')
  client.on('e', notification => got.push(notification.payload))
  client.subscribe('room')
  await client.ready({ timeout: 10_000 })
  expect(client.connection).toEqual({ state: 'online', transport: 'websocket' })
  await send(service, 'ann', 'live')
  await publish(service, 'room', 'to the room')
  expect(await got.take(3)).toEqual(['missed', 'live', 'to the room'])
})

test('after a break the client resumes and subscribes again', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  await using line = await startProxy(service.port)
  using client = createClient<Events>({
    url: `http://127.0.0.1:${line.port}`,
    token: () => service.token('ann'),
  })
  const got = createInbox<unknown>()
  client.on('e', notification => got.push(notification.payload))
  client.subscribe('room')
  await client.ready()
  line.cut()
  await send(service, 'ann', 1)
  expect(await got.next()).toBe(1)
  await client.ready()
  await publish(service, 'room', 2)
  expect(await got.next()).toBe(2)
})
