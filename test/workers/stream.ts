import { API_KEY } from '../support/app.ts'
import { connectSocket, type Message, type SocketClient } from '../support/client.ts'
import type { Random } from '../support/random.ts'
import type { Service } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

/** Longer than a call waits for a silent node. */
const ANSWER_MS = 1_500
/** Channel of all clients. */
const CHANNEL = 'news'

type Kind = 'send' | 'channel' | 'broadcast'

/** An accepted notification. A sender waits for each answer, so its numbers are in order. */
interface Accepted {
  readonly sender: number
  readonly n: number
  readonly kind: Kind
  /** Only for `send`. */
  readonly user: string
  readonly deliveredTo: number
}

export interface StreamClient {
  readonly user: string
  readonly socket: SocketClient
  /** Number of attempts of each sender before the client was `subscribed`. */
  readonly since: readonly number[]
  isClosed: boolean
}

/** A steady stream without a log, with the clients that receive it. */
export interface NotificationStream {
  readonly clients: readonly StreamClient[]
  /** Statuses of answers other than 200, and requests without an answer. */
  readonly refusals: readonly (number | string)[]
  readonly accepted: readonly Accepted[]
  /** Keys of those that may arrive late: their answer lacked a node, or did not arrive. */
  readonly late: ReadonlySet<string>
  /** Connects a client; resolves when it is subscribed. */
  connect(service: Service, user: string): Promise<StreamClient>
  /** Resolves when this many more are accepted. */
  untilAccepted(count: number): Promise<void>
  /** Ends the stream. */
  stop(): Promise<void>
}

export interface Faults {
  readonly lost: number
  readonly phantom: number
  readonly duplicate: number
  readonly outOfOrder: number
}

export const NO_FAULTS: Faults = { lost: 0, phantom: 0, duplicate: 0, outOfOrder: 0 }

interface StreamOptions {
  /** Where requests go, now. */
  readonly to: () => readonly Service[]
  readonly users: readonly string[]
  readonly senders: number
  readonly random: Random
}

const keyOf = ({ sender, n }: { readonly sender: number; readonly n: number }): string => `${sender} ${n}`

async function post({ url }: Service, path: Kind, body: object): Promise<Response> {
  return fetch(`${url}/api/v1/notifications/${path}`, {
    method: 'POST',
    // A new connection each time reaches any worker.
    headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, connection: 'close' },
    body: JSON.stringify({ event_type: 'e', ...body }),
    signal: AbortSignal.timeout(ANSWER_MS),
  })
}

async function deliveredTo(answer: Response): Promise<number> {
  const { delivered_to }: Message = await answer.json()
  return delivered_to
}

export function startStream({ to, users, senders, random }: StreamOptions): NotificationStream {
  const clients: StreamClient[] = []
  const accepted: Accepted[] = []
  const refusals: (number | string)[] = []
  const late = new Set<string>()
  const attempts = Array.from({ length: senders }, () => 0)
  let isOver = false

  const attempt = async (sender: number): Promise<void> => {
    const n = attempts[sender] ?? 0
    attempts[sender] = n + 1
    const user = random.pick(users as [string, ...string[]])
    const kind = random.pick<Kind>(['send', 'send', 'send', 'channel', 'broadcast'])
    const target = { send: { target_user_id: user }, channel: { channel: CHANNEL }, broadcast: {} }[kind]
    const reachable = clients.filter(client => kind !== 'send' || client.user === user).length
    try {
      const answer = await post(random.pick(to() as [Service, ...Service[]]), kind, {
        ...target,
        payload: { sender, n, kind, user },
      })
      if (answer.status !== 200) {
        refusals.push(answer.status)
        return
      }
      const each = { sender, n, kind, user, deliveredTo: await deliveredTo(answer) }
      accepted.push(each)
      if (each.deliveredTo < reachable) late.add(keyOf(each))
    } catch (error) {
      refusals.push(String(error))
      late.add(keyOf({ sender, n }))
    }
  }
  const run = async (sender: number): Promise<void> => {
    while (!isOver) {
      await attempt(sender)
      await Bun.sleep(random.whole(0, 8))
    }
  }
  const running = Promise.all(Array.from({ length: senders }, (_, sender) => run(sender)))

  return {
    clients,
    accepted,
    refusals,
    late,
    connect: async (service, user) => {
      const socket = await connectSocket(`${service.url}/ws?token=${await service.token(user)}`)
      socket.send({ type: 'Subscribe', payload: { channels: [CHANNEL] } })
      await socket.nextOf('subscribed')
      const client: StreamClient = { user, socket, since: [...attempts], isClosed: false }
      void socket.closed.then(() => {
        client.isClosed = true
      })
      clients.push(client)
      return client
    },
    untilAccepted: async count => {
      const enough = accepted.length + count
      await eventually(() => accepted.length >= enough, 30_000)
    },
    stop: async () => {
      isOver = true
      await running
    },
  }
}

const readsOf = ({ socket }: StreamClient): readonly Message[] =>
  socket.inbox.all.filter(({ type }) => type === 'notification').map(({ payload }) => payload)

const isFor = ({ user, since }: StreamClient, each: Accepted): boolean =>
  each.n >= (since[each.sender] ?? 0) && (each.kind !== 'send' || each.user === user)

/** Waits until all that is accepted has arrived, for at most 5 s, and counts what went wrong at open connections. */
export async function countFaults(
  { clients, accepted, late }: NotificationStream,
  loses: (each: Accepted) => boolean = () => false,
): Promise<Faults> {
  const open = clients.filter(({ isClosed }) => !isClosed)
  const lostBy = (client: StreamClient): readonly Accepted[] => {
    const read = new Set(readsOf(client).map(payload => keyOf(payload)))
    return accepted.filter(each => isFor(client, each) && !read.has(keyOf(each)) && !loses(each))
  }
  await eventually(() => open.every(client => lostBy(client).length === 0), 5_000).catch(() => {})
  const faults = { ...NO_FAULTS, lost: open.flatMap(lostBy).length }
  for (const client of clients) {
    const seen = new Set<string>()
    const last = new Map<number, number>()
    for (const payload of readsOf(client)) {
      if (payload.kind === 'send' && payload.user !== client.user) faults.phantom++
      if (seen.has(keyOf(payload))) faults.duplicate++
      else if (!late.has(keyOf(payload)) && payload.n < (last.get(payload.sender) ?? -1)) faults.outOfOrder++
      seen.add(keyOf(payload))
      if (!late.has(keyOf(payload))) last.set(payload.sender, payload.n)
    }
  }
  return faults
}
