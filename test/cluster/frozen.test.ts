import { expect, test } from 'bun:test'
import { API_KEY } from '../support/app.ts'
import { connectSocket, type Message } from '../support/client.ts'
import { untilJoined } from '../support/cluster.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

const TIMEOUT_MS = 40_000
/** Longer than the time to answer. */
const STARVED_MS = 900

async function startNode(url: string, id: string): Promise<Service> {
  const service = await startService({ NODE_ID: id, STORE_URL: url, BUS_URL: url, QUEUE_ENABLED: 'true' })
  await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 200)
  return service
}

const sendBy = async (service: Service, user: string, payload: number): Promise<Message> =>
  (await service.send(user, payload)).json()

test(
  'a frozen node costs one time to answer, once; when it wakes its clients miss nothing',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await untilJoined([a, b])
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&cursor=`)
    await client.nextOf('connected')
    expect(await sendBy(a, 'u', 0)).toMatchObject({ delivered_to: 1, status: 'delivered' })
    process.kill(b.pid, 'SIGSTOP')
    try {
      for (let n = 1; n <= 10; n++)
        expect(await sendBy(a, 'u', n)).toMatchObject({ delivered_to: 0, queued: 1, status: 'queued' })
      const metrics = await scrape(a)
      expect(metrics.value('ara_bus_answer_timeouts_total')).toBe(1)
      expect(await a.line('cluster.node_silent')).toMatchObject({ member: 'b' })
      await untilJoined([a], 1)
    } finally {
      process.kill(b.pid, 'SIGCONT')
    }
    expect((await client.take(11)).map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    await b.line('bus.back')
    await untilJoined([a, b])
    expect(await sendBy(a, 'u', 11)).toMatchObject({ delivered_to: 1, status: 'delivered' })
    expect((await client.next()).payload).toBe(11)
  },
  TIMEOUT_MS,
)

test(
  'a node that was frozen before the first send delays no send to its users',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await untilJoined([a], 2)
    const users = ['u1', 'u2', 'u3', 'u4']
    for (const user of users) await connectSocket(`${b.url}/ws?token=${await b.token(user)}`)
    process.kill(b.pid, 'SIGSTOP')
    try {
      await untilJoined([a], 1)
      for (const user of users) expect(await sendBy(a, user, 1)).toMatchObject({ status: 'queued' })
      expect((await scrape(a)).value('ara_bus_answer_timeouts_total')).toBe(0)
      expect(a.lines.filter(({ event }) => event === 'bus.foreign_subscribers')).toEqual([])
    } finally {
      process.kill(b.pid, 'SIGCONT')
    }
  },
  TIMEOUT_MS,
)

test(
  'a node that gets no CPU for a second, again and again, delivers every channel message and refuses no send',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await untilJoined([a], 2)
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&channels=orders`)
    await client.nextOf('subscribed')
    const publish = (n: number) =>
      fetch(`${a.url}/api/v1/notifications/channel`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
        body: JSON.stringify({ channel: 'orders', event_type: 'e', payload: n }),
      })
    let sent = 0
    for (let round = 0; round < 3; round++) {
      process.kill(b.pid, 'SIGSTOP')
      const resume = setTimeout(() => process.kill(b.pid, 'SIGCONT'), STARVED_MS)
      try {
        for (let n = 0; n < 20; n++) expect((await publish(sent++)).status).toBe(200)
      } finally {
        clearTimeout(resume)
        process.kill(b.pid, 'SIGCONT')
      }
      expect((await b.send('u', 'mine')).status).toBe(200)
    }
    const read = (await client.take(sent + 3)).map(({ payload }) => payload)
    expect(read.filter(payload => payload !== 'mine')).toEqual(Array.from({ length: sent }, (_, n) => n))
    expect(b.lines.filter(({ event }) => event === 'bus.lost')).toEqual([])
  },
  TIMEOUT_MS,
)

test(
  'users of a killed node are away for the next send',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await untilJoined([a], 2)
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&cursor=`)
    await client.nextOf('connected')
    b.signal('SIGKILL')
    await b.ended
    expect(await sendBy(a, 'u', 1)).toMatchObject({ delivered_to: 0, queued: 1, status: 'queued' })
    await untilJoined([a], 1)
    using moved = await connectSocket(`${a.url}/ws?token=${await a.token('u')}&cursor=`)
    expect((await moved.take(2)).map(({ type }) => type)).toEqual(['connected', 'notification'])
  },
  TIMEOUT_MS,
)

test(
  'tokens that were revoked while their node was frozen are disconnected when it wakes',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await untilJoined([a], 2)
    using revoked = await connectSocket(`${b.url}/ws?token=${await b.token('revoked')}`)
    using other = await connectSocket(`${b.url}/ws?token=${await b.token('other')}&cursor=`)
    await other.nextOf('connected')
    process.kill(b.pid, 'SIGSTOP')
    try {
      // Its subscriptions have ended: it does not hear of the revocation.
      await untilJoined([a], 1)
      const answer = await fetch(`${a.url}/api/v1/users/revoked/disconnect`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
        body: JSON.stringify({ issued_before: Math.floor(Date.now() / 1000) }),
      })
      expect(await answer.json()).toEqual({ user_id: 'revoked', disconnected: 0 })
    } finally {
      process.kill(b.pid, 'SIGCONT')
    }
    expect((await revoked.closed).code).toBe(4403)
    await b.line('bus.back')
    expect(await sendBy(a, 'other', 1)).toMatchObject({ delivered_to: 1 })
    expect((await other.next()).payload).toBe(1)
  },
  TIMEOUT_MS,
)
