import { readFileSync } from 'node:fs'
import { startRedis } from '../support/redis.ts'
import type { Bench } from './row.ts'
import { API_KEY, type LoadTarget, type ServerProcess } from './server.ts'

/** Service with WORKERS processes on all cores, over one Redis. */
export interface BenchWorkers extends AsyncDisposable, LoadTarget {
  /** Process that a SIGHUP goes to. */
  readonly supervisor: ServerProcess
}

const START_LIMIT_MS = 20_000

/** Processes that it has started; its own number without workers. */
export function workersOf({ pid }: ServerProcess): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children === '' ? [pid] : children.split(' ').map(Number)
}

async function nodesKnown(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1/cluster`, { headers: { 'x-api-key': API_KEY } })
  const { nodes } = (await answer.json()) as { readonly nodes?: readonly unknown[] }
  return nodes?.length ?? 0
}

/** Starts workers over one Redis, by default with the log in it. One process needs no bus, more of them do. */
export async function startWorkers(
  { start }: Pick<Bench, 'start'>,
  count: number,
  env: Readonly<Record<string, string>> = {},
): Promise<BenchWorkers> {
  const redis = await startRedis('--appendonly', 'yes', '--appendfsync', 'everysec')
  const supervisor = await start({
    isOnAllCores: true,
    env: {
      WORKERS: String(count),
      NODE_ID: 'n',
      QUEUE_ENABLED: 'true',
      STORE_URL: redis.url,
      DRAIN_SECONDS: '1',
      ...(count > 1 && { BUS_URL: redis.url }),
      ...env,
    },
  })
  const limit = performance.now() + START_LIMIT_MS
  while ((await nodesKnown(supervisor.port)) < count) {
    if (performance.now() > limit) throw new Error('the workers do not find each other')
    await Bun.sleep(20)
  }
  return {
    supervisor,
    ports: supervisor.ports,
    pids: workersOf(supervisor),
    isOnAllCores: true,
    [Symbol.asyncDispose]: async () => {
      await supervisor[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
    },
  }
}
