import { expect, test } from 'bun:test'
import { connectSocket, type Message } from '../support/client.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

const TIMEOUT_MS = 40_000

async function startNode(url: string, id: string): Promise<Service> {
  const service = await startService({ NODE_ID: id, STORE_URL: url, BUS_URL: url, QUEUE_ENABLED: 'true' })
  await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 200)
  return service
}

const know = async (service: Service, nodes: number): Promise<void> =>
  eventually(async () => (await scrape(service)).value('ara_cluster_nodes') === nodes, 20_000)

const sendBy = async (service: Service, user: string, payload: number): Promise<Message> =>
  (await service.send(user, payload)).json()

test(
  'a frozen node costs one time to answer, once; when it wakes its clients miss nothing',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await know(a, 2)
    await know(b, 2)
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&cursor=`)
    await client.nextOf('connected')
    expect(await sendBy(a, 'u', 0)).toMatchObject({ delivered_to: 1, status: 'delivered' })
    process.kill(b.pid, 'SIGSTOP')
    try {
      for (let n = 1; n <= 10; n++)
        expect(await sendBy(a, 'u', n)).toMatchObject({ delivered_to: 0, queued: 1, status: 'queued' })
      const metrics = await scrape(a)
      expect(metrics.value('ara_bus_answer_timeouts_total')).toBe(1)
      expect(metrics.value('ara_cluster_nodes')).toBe(1)
      expect(await a.line('cluster.node_silent')).toMatchObject({ member: 'b' })
    } finally {
      process.kill(b.pid, 'SIGCONT')
    }
    expect((await client.take(11)).map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    await know(a, 2)
    await know(b, 2)
    expect(await sendBy(a, 'u', 11)).toMatchObject({ delivered_to: 1, status: 'delivered' })
    expect((await client.next()).payload).toBe(11)
  },
  TIMEOUT_MS,
)

test(
  'users of a killed node are away for the next send',
  async () => {
    await using redis = await startRedis()
    await using a = await startNode(redis.url, 'a')
    await using b = await startNode(redis.url, 'b')
    await know(a, 2)
    using client = await connectSocket(`${b.url}/ws?token=${await b.token('u')}&cursor=`)
    await client.nextOf('connected')
    b.signal('SIGKILL')
    await b.ended
    expect(await sendBy(a, 'u', 1)).toMatchObject({ delivered_to: 0, queued: 1, status: 'queued' })
    await know(a, 1)
    using moved = await connectSocket(`${a.url}/ws?token=${await a.token('u')}&cursor=`)
    expect((await moved.take(2)).map(({ type }) => type)).toEqual(['connected', 'notification'])
  },
  TIMEOUT_MS,
)
