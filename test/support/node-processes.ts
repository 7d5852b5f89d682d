import { type Service, startService } from './service.ts'

/** Nodes of one cluster, each in its own process: `await using nodes = await startNodes([redis.url, redis.url])`. */
export interface NodeProcesses extends AsyncDisposable {
  /** The processes that run now, in order. */
  readonly all: readonly Service[]
  /** Starts another process in the place of a node; resolves when it is ready. */
  replace(place: number): Promise<Service>
}

const POLL_MS = 10

const isReady = async ({ url }: Service): Promise<boolean> =>
  (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok === true

/** Starts a node for each address of Redis, with the log on. Resolves when all are ready. */
export async function startNodes(
  addresses: readonly string[],
  env: Record<string, string> = {},
): Promise<NodeProcesses> {
  let started = 0
  const start = async (address: string): Promise<Service> => {
    const service = await startService({
      NODE_ID: `node-${++started}`,
      BUS_URL: address,
      STORE_URL: address,
      QUEUE_ENABLED: 'true',
      QUEUE_MAX_SIZE_PER_USER: '100000',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
      ...env,
    })
    while (!(await isReady(service))) await Bun.sleep(POLL_MS)
    return service
  }
  const all = await Promise.all(addresses.map(start))
  const ended: Service[] = []
  return {
    all,
    replace: async place => {
      const node = await start(addresses[place] ?? '')
      ended.push(...all.splice(place, 1, node))
      return node
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...ended, ...all].map(node => node[Symbol.asyncDispose]()))
    },
  }
}
