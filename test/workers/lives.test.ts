import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { connectSocket } from '../support/client.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'
import { getJson, isAlive, nodesOf, startWorkers } from '../support/workers.ts'

setDefaultTimeout(60_000)

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

test('a killed worker is started again, and its clients reconnect to the others meanwhile', async () => {
  await using service = await startWorkers(redis.url, { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const connect = async () => connectSocket(`${service.url}/ws?token=${await service.token('u')}`)
  const sockets = await Promise.all(Array.from({ length: 20 }, connect))
  let lost = 0
  for (const socket of sockets) void socket.closed.then(() => lost++)
  const killed = service.pidOf(1)
  process.kill(killed, 'SIGKILL')
  await service.untilLines('worker.restarting', 1)
  // The other worker takes every new connection until then.
  for (let n = 0; n < 10; n++) {
    const { node } = await getJson(service, '/health')
    if (node !== 'n-2') await service.untilLines('worker.started', 3)
  }
  await service.untilLines('worker.started', 3)
  expect(lost).toBeWithin(1, 20)
  const again = await Promise.all(Array.from({ length: lost }, connect))
  expect(service.pidOf(1)).not.toBe(killed)
  expect(await nodesOf(service)).toEqual(['n-1', 'n-2'])
  await eventually(async () => (await getJson(service, '/health')).workers.running === 2)
  const seen = await scrape(service)
  expect(seen.value('ara_worker_restarts_total')).toBe(1)
  expect(seen.value('ara_connections_total')).toBe(20)
  expect(service.linesOf('worker.ended')).toMatchObject([{ worker: 1, pid: killed, signal: 'SIGKILL' }])
  for (const socket of [...sockets, ...again]) socket.close()
})

test('a worker that keeps ending is started after 100 ms, 200 ms, 400 ms …', async () => {
  await using service = await startWorkers(redis.url)
  for (let n = 1; n <= 3; n++) {
    process.kill(service.pidOf(2), 'SIGKILL')
    await service.untilLines('worker.started', 2 + n)
  }
  const waits = service.linesOf('worker.restarting').map(({ restart_ms }) => restart_ms)
  expect(waits).toEqual([100, 200, 400])
  expect(service.linesOf('worker.started').filter(({ node }) => node === 'n-1')).toHaveLength(1)
})

test('when all workers are killed at once, the port stays and all come back', async () => {
  await using service = await startWorkers(redis.url, { WORKERS: '3' })
  for (const pid of service.pids()) process.kill(pid, 'SIGKILL')
  await service.untilLines('worker.started', 6)
  await eventually(async () => (await getJson(service, '/health')).workers.running === 3)
  expect(await nodesOf(service, 60)).toEqual(['n-1', 'n-2', 'n-3'])
  expect((await scrape(service)).value('ara_worker_restarts_total')).toBe(3)
})

test('a worker that is asked to end drains, and another one takes its place', async () => {
  await using service = await startWorkers(redis.url, { DRAIN_SECONDS: '1' })
  const asked = service.pidOf(1)
  process.kill(asked, 'SIGTERM')
  await service.untilLines('worker.started', 3)
  expect(isAlive(asked)).toBe(false)
  expect(service.linesOf('drain.ended')).toMatchObject([{ node: 'n-1' }])
  expect(service.linesOf('worker.ended')).toMatchObject([{ worker: 1, code: 0 }])
})
