import type { Message } from './client.ts'
import { type Service, startService } from './service.ts'
import { eventually } from './visit.ts'

/** Nodes of one cluster, each in its own process: `await using nodes = await startNodes([redis.url, redis.url])`. */
export interface NodeProcesses extends AsyncDisposable {
  /** The processes that run now, in order. */
  readonly all: readonly Service[]
  /** Starts another process in the place of a node; resolves when it is ready. */
  replace(place: number): Promise<Service>
}

const POLL_MS = 10
const READY_MS = 30_000

const isReady = async ({ url }: Service): Promise<boolean> =>
  (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok === true

/** Starts a node for each address of Redis, with the log on. Resolves when all are ready. */
export async function startNodes(
  addresses: readonly string[],
  env: Record<string, string> = {},
): Promise<NodeProcesses> {
  await using starting = new AsyncDisposableStack()
  const services = starting.use(new AsyncDisposableStack())
  let started = 0
  const start = async (address: string): Promise<Service> => {
    const service = services.use(
      await startService({
        NODE_ID: `node-${++started}`,
        BUS_URL: address,
        STORE_URL: address,
        QUEUE_ENABLED: 'true',
        QUEUE_MAX_SIZE_PER_USER: '100000',
        WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
        ...env,
      }),
    )
    await eventually(async () => {
      await Bun.sleep(POLL_MS)
      return await isReady(service)
    }, READY_MS)
    return service
  }
  const all = await Promise.all(addresses.map(start))
  starting.move()
  return {
    all,
    replace: async place => {
      const node = await start(addresses[place] ?? '')
      all.splice(place, 1, node)
      return node
    },
    [Symbol.asyncDispose]: () => services.disposeAsync(),
  }
}

export interface NodeState {
  /** Status of `/health/ready`. */
  readonly ready: number
  readonly bus: string
  readonly store: string
}

export const HEALTHY: NodeState = { ready: 200, bus: 'healthy', store: 'healthy' }
export const UNAVAILABLE: NodeState = { ready: 503, bus: 'unavailable', store: 'unavailable' }

async function stateOf({ url }: Service): Promise<NodeState> {
  const [health, ready] = await Promise.all([fetch(`${url}/health`), fetch(`${url}/health/ready`)])
  const { bus, store }: Message = await health.json()
  return { ready: ready.status, bus: bus.status, store: store.status }
}

/** Resolves with the milliseconds until all nodes say so at once. */
export async function untilAllAre(
  nodes: readonly Service[],
  state: Partial<NodeState>,
  withinMs: number,
): Promise<number> {
  const startedAt = performance.now()
  for (;;) {
    const states = await Promise.all(nodes.map(stateOf))
    const elapsed = performance.now() - startedAt
    if (states.every(each => Bun.deepMatch(state, each))) return elapsed
    if (elapsed > withinMs)
      throw new Error(`${JSON.stringify(states)} after ${withinMs} ms, not ${JSON.stringify(state)}`)
    await Bun.sleep(POLL_MS)
  }
}
