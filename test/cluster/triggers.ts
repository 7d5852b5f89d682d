import type { Redis } from 'ioredis'
import { connectSocket, type Message } from '../support/client.ts'
import type { Random } from '../support/random.ts'
import { type Service, startService } from '../support/service.ts'
import { add, messageTo } from '../support/stream.ts'
import { eventually } from '../support/visit.ts'

export interface Count {
  readonly lost: number
  readonly twice: number
  readonly phantom: number
}

export const NO_FAULT: Count = { lost: 0, twice: 0, phantom: 0 }

/** Compares the numbers that were sent with those that arrived. */
export function countFaults(sent: readonly number[], got: readonly number[]): Count {
  const arrived = new Set(got)
  const known = new Set(sent)
  return {
    lost: sent.filter(n => !arrived.has(n)).length,
    twice: got.length - arrived.size,
    phantom: [...arrived].filter(n => !known.has(n)).length,
  }
}

const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '100000' }

/** Resolves when the node is ready and hears its Redis. */
export async function startNode(env: Record<string, string>): Promise<Service> {
  const service = await startService({ ...LOG, ...env })
  await eventually(async () => {
    const health: Message = await (await fetch(`${service.url}/health`)).json()
    return health.status === 'healthy'
  }, 20_000)
  return service
}

export const numbersOf = (messages: readonly { payload: number }[]): number[] =>
  messages.map(({ payload }) => payload)

interface Producer {
  /** Numbers added so far, by user. */
  readonly sent: ReadonlyMap<string, readonly number[]>
  /** Resolves when it adds nothing more. */
  stop(): Promise<void>
}

const BURST_MS = 25

/** Adds numbered entries to users `u0`, `u1` … at random, in bursts. */
export function startProducer(
  client: Redis,
  {
    perSecond,
    users,
    random,
  }: { readonly perSecond: number; readonly users: number; readonly random: Random },
): Producer {
  const sent = new Map<string, number[]>()
  let n = 0
  let isStopped = false
  const startedAt = performance.now()
  const run = async (): Promise<void> => {
    while (!isStopped) {
      const due = ((performance.now() - startedAt) * perSecond) / 1000
      while (n < due) {
        const user = `u${random.whole(0, users - 1)}`
        sent.set(user, [...(sent.get(user) ?? []), n])
        await add(client, messageTo(user, n))
        n++
      }
      await Bun.sleep(BURST_MS)
    }
  }
  const ended = run()
  return {
    sent,
    stop: () => {
      isStopped = true
      return ended
    },
  }
}

const visit = async (service: Service, user: string, cursor: string) =>
  connectSocket(`${service.url}/ws?token=${await service.token(user)}&cursor=${encodeURIComponent(cursor)}`)

/** A client that stays connected; at the end it returns with its cursor, as after a cut. */
export async function follow(service: Service, user: string) {
  const socket = await visit(service, user, '')
  const notifications = () => socket.inbox.all.filter(({ type }) => type === 'notification')
  return {
    /** Everything that it received: while it was connected, and after its return. */
    end: async (): Promise<readonly Message[]> => {
      const last = notifications().at(-1)?.cursor ?? ''
      socket.close()
      await socket.closed
      const live = notifications()
      using again = await visit(service, user, live.at(-1)?.cursor ?? last)
      const { replayed } = await again.nextOf('connected')
      return [...live, ...(await again.take(replayed))]
    },
  }
}
