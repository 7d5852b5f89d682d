import { readFileSync } from 'node:fs'
import type { Message } from './client.ts'
import { type Program, type Service, startService } from './service.ts'
import { eventually } from './visit.ts'

/** Service with several worker processes. */
export interface WorkerService extends Service {
  /** Process ids of all workers ever started, oldest first. */
  pids(): readonly number[]
  /** Process id of the newest worker with this number. */
  pidOf(worker: number): number
  /** Log lines of that event so far. */
  linesOf(event: string): readonly Message[]
  /** Resolves when there are this many log lines of that event. */
  untilLines(event: string, count: number): Promise<readonly Message[]>
}

/** Whether the process runs; one that only waits to be reaped does not. */
export const isAlive = (pid: number): boolean => {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** Settings of workers that share a Redis. */
export const workerSettings = (redisUrl: string, env: Record<string, string> = {}) => ({
  WORKERS: '2',
  NODE_ID: 'n',
  BUS_URL: 'redis:',
  REDIS_URL: redisUrl,
  ...env,
})

/** Starts the service and waits until every worker serves and has its store and bus. */
export async function startWorkers(
  redisUrl: string,
  env: Record<string, string> = {},
  program?: Program,
): Promise<WorkerService> {
  await using starting = new AsyncDisposableStack()
  const service = starting.use(await startService(workerSettings(redisUrl, env), program))
  const linesOf = (event: string) => service.lines.filter(line => line.event === event)
  const untilLines = async (event: string, count: number) => {
    await eventually(() => linesOf(event).length >= count, 45_000)
    return linesOf(event)
  }
  const { workers: count, internal_port: internal = service.port } = linesOf('started')[0] ?? {}
  await untilLines('bus.connected', count)
  const ready = new Set<string>()
  await eventually(async () => {
    const { status, node } = await getJson({ url: `http://127.0.0.1:${internal}` }, '/health')
    if (status === 'healthy') ready.add(node)
    return ready.size === count
  })
  starting.move()
  return {
    ...service,
    pids: () => linesOf('worker.started').map(({ pid }) => pid),
    pidOf: worker =>
      linesOf('worker.started').findLast(({ node }) => node === `n-${worker}`)?.pid ?? Number.NaN,
    linesOf,
    untilLines,
  }
}

/** Asks over a new connection; resolves with the parsed answer. */
export async function getJson(service: Pick<Service, 'url'>, path: string): Promise<Message> {
  const response = await fetch(service.url + path, { headers: { connection: 'close' } })
  return await response.json()
}

/** Node ids that answer `count` new connections. */
export async function nodesOf(service: Pick<Service, 'url'>, count = 40): Promise<readonly string[]> {
  const nodes = new Set<string>()
  for (let n = 0; n < count; n++) nodes.add((await getJson(service, '/health')).node)
  return [...nodes].sort()
}
