import { API_KEY } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import type { Random } from '../support/random.ts'
import type { Service } from '../support/service.ts'

const POLL_MS = 10

/** Polls without keeping a core busy; false if it did not hold in time. */
export async function holdsWithin(ms: number, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > giveUpAt) return false
    await Bun.sleep(POLL_MS)
  }
  return true
}

/** The nodes that run now. */
type Nodes = () => readonly Service[]

/** A send that was attempted. */
export interface Attempt {
  readonly user: string
  readonly sender: number
  /** Number of the attempt by its sender, from 0. A sender waits for each answer. */
  readonly n: number
  /** Set by a 2xx answer. Without one the send may have been carried out or not. */
  id?: string
  /** When that answer arrived, and how long it took, milliseconds. */
  answeredAt?: number
  ms?: number
}

/** A notification as a client read it. */
export interface Read {
  readonly id: string
  readonly epoch: string
  readonly seq: number
  readonly sender: number
  readonly n: number
  /** Milliseconds. */
  readonly at: number
}

/** One connection of a client. */
export interface Visit {
  /** The cursor that it presented; undefined for a client without cursors. */
  readonly presented: string | undefined
  readonly reads: Read[]
}

/** All connections of one client. */
export interface Trail {
  readonly user: string
  readonly visits: readonly Visit[]
}

export interface Client extends Trail {
  /** Closes its connection and reconnects, mostly to another node. */
  hop(): void
  /** The node that it is connected to. */
  readonly node: Service | undefined
  /** Greetings of all its connections. */
  readonly greetings: readonly Message[]
  stop(): void
}

interface ClientOptions {
  readonly user: string
  /** Without cursors it is a client of version 1. */
  readonly resumes?: boolean
  readonly random: Random
  /** Ends a connection without any message for so long, as client libraries do. */
  readonly silentMs?: number
  /** Prefers this node. */
  readonly home?: Service
}

const CONNECT_MS = 1_500
const PAUSE_MS = 50

/** Stays connected to some node, resumes by its cursor, and notes everything that it reads. */
export function startClient(
  nodes: Nodes,
  { user, resumes = true, random, silentMs = 4_000, home }: ClientOptions,
): Client {
  const visits: Visit[] = []
  const greetings: Message[] = []
  let cursor = ''
  let isStopped = false
  let node = home
  let socket: WebSocket | undefined

  const chooseNode = (): Service | undefined => {
    const all = nodes()
    return all[random.whole(0, all.length - 1)]
  }

  const hear = ({ reads }: Visit, message: Message): void => {
    if (message.type === 'connected') greetings.push(message)
    if (message.type !== 'notification') return
    const [epoch = '', seq] = String(message.cursor).split(':')
    const { sender, n } = message.payload
    cursor = message.cursor
    reads.push({ id: message.id, epoch, seq: Number(seq), sender, n, at: performance.now() })
  }

  /** Resolves when the connection has ended. */
  const visit = async ({ url, token }: Service): Promise<void> => {
    const query = resumes ? `&cursor=${cursor}` : ''
    const current: Visit = { presented: resumes ? cursor : undefined, reads: [] }
    visits.push(current)
    const line = new WebSocket(`${url.replace('http', 'ws')}/ws?token=${await token(user)}${query}`)
    socket = line
    const ended = Promise.withResolvers<void>()
    const wait = (ms: number) => setTimeout(() => ended.resolve(), ms)
    let timer = wait(CONNECT_MS)
    const stay = () => {
      clearTimeout(timer)
      timer = wait(silentMs)
    }
    line.onopen = stay
    line.onmessage = ({ data }) => {
      stay()
      hear(current, JSON.parse(String(data)))
    }
    line.onclose = () => ended.resolve()
    if (isStopped) line.close()
    await ended.promise
    clearTimeout(timer)
    line.onmessage = null
    line.terminate()
  }

  const run = async (): Promise<void> => {
    while (!isStopped) {
      node ??= chooseNode()
      if (node !== undefined) await visit(node)
      node = undefined
      if (!isStopped) await Bun.sleep(random.whole(1, PAUSE_MS))
    }
  }
  void run()

  return {
    user,
    visits,
    greetings,
    get node() {
      return node
    },
    hop: () => socket?.close(),
    stop: () => {
      isStopped = true
      socket?.close()
    },
  }
}

/** Answers to tries of sends, by their kind. */
export type Tries = Record<'accepted' | 'unavailable' | 'inProgress' | 'refused' | 'broken' | 'other', number>

export interface Sending {
  readonly attempts: readonly Attempt[]
  readonly tries: Readonly<Tries>
  /** Resolves when each sender has its last answer. */
  stop(): Promise<void>
}

interface SendingOptions {
  /** Unique among all on one Redis: keys begin with it. */
  readonly name: string
  readonly users: readonly string[]
  readonly senders: number
  /** Sends per second of all senders. */
  readonly rate: number
  readonly random: Random
  /**
   * Results after which a send is tried again at another node, with its key. After any other result it may have been
   * carried out or not.
   */
  readonly retryAfter?: readonly (keyof Tries)[]
  /** Gives up an attempt after so long. */
  readonly answerMs?: number
}

/** Far longer than any answer takes. */
const ANSWER_MS = 15_000

/** The key of a request that broke off may stay reserved for half a minute: too long to wait for. */
const RETRY_AFTER = ['refused', 'unavailable'] as const

/** Posts to random nodes, with a key for each send. */
export function startSending(
  nodes: Nodes,
  { name, users, senders, rate, random, retryAfter = RETRY_AFTER, answerMs = ANSWER_MS }: SendingOptions,
): Sending {
  const attempts: Attempt[] = []
  const tries: Tries = { accepted: 0, unavailable: 0, inProgress: 0, refused: 0, broken: 0, other: 0 }
  const intervalMs = (1000 * senders) / rate
  let isStopped = false

  const post = (url: string, { user, sender, n }: Attempt): Promise<Response> =>
    fetch(`${url}/api/v1/notifications/send`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-api-key': API_KEY,
        'idempotency-key': `${name.replaceAll(' ', '_')}/${sender}/${n}`,
      },
      body: JSON.stringify({ target_user_id: user, event_type: 'e', payload: { sender, n } }),
      signal: AbortSignal.timeout(answerMs),
    })

  const tryOnce = async (url: string, attempt: Attempt): Promise<keyof Tries> => {
    const startedAt = performance.now()
    try {
      const answer = await post(url, attempt)
      const said: Message = await answer.json()
      if (answer.status === 503) return 'unavailable'
      if (answer.status === 409) return 'inProgress'
      if (answer.status !== 200) return 'other'
      attempt.id = said.notification_id
      attempt.answeredAt = performance.now()
      attempt.ms = attempt.answeredAt - startedAt
      return 'accepted'
    } catch (error) {
      return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED' ? 'refused' : 'broken'
    }
  }

  const send = async (attempt: Attempt): Promise<void> => {
    for (let at = random.whole(0, 99); ; at++) {
      const all = nodes()
      const node = all[at % all.length]
      const result = node === undefined ? 'refused' : await tryOnce(node.url, attempt)
      tries[result]++
      if (!retryAfter.includes(result)) return
      await Bun.sleep(random.whole(1, PAUSE_MS))
    }
  }

  const run = async (sender: number): Promise<void> => {
    let due = performance.now() + random.whole(0, intervalMs)
    for (let n = 0; !isStopped; n++) {
      await Bun.sleep(Math.max(0, due - performance.now()))
      due = Math.max(due + intervalMs, performance.now() - intervalMs)
      if (isStopped) return
      const attempt: Attempt = { user: users[random.whole(0, users.length - 1)] ?? '', sender, n }
      attempts.push(attempt)
      await send(attempt)
    }
  }
  const running = Promise.all(Array.from({ length: senders }, (_, sender) => run(sender)))

  return {
    attempts,
    tries,
    stop: async () => {
      isStopped = true
      await running
    },
  }
}

export interface Figures {
  /** Sends with a 2xx answer. */
  readonly accepted: number
  /** Accepted, but not read by a client of the user that resumes, or by no client of the user at all. */
  readonly lost: number
  /** Reads that match no attempt, or have another id than was answered. */
  readonly phantom: number
  /** Reads of a notification for the second time: on one connection, or by a client that resumes. */
  readonly duplicates: number
  /** Reads on one connection that are not next in the log, or that break the order of a sender. */
  readonly inversions: number
  /** Longest time from an answer until a client of the user has read the notification, milliseconds. */
  readonly lateMs: number
}

/** The faults that must not occur. */
export const NO_FAULTS = { lost: 0, phantom: 0, duplicates: 0, inversions: 0 }

const nameOf = ({ sender, n }: Pick<Attempt, 'sender' | 'n'>): string => `${sender}/${n}`

/** Ids that one client has read. */
const idsOf = ({ visits }: Trail): Set<string> =>
  new Set(visits.flatMap(({ reads }) => reads.map(({ id }) => id)))

const resumes = ({ visits }: Trail): boolean => visits.every(({ presented }) => presented !== undefined)

/** Sends accepted in this time may be lost, because Redis lost it. Set by the test. */
export interface Loss {
  from: number
  to: number
}

/** Counts, for each accepted send, the clients that must read it and have not. */
function countLost(attempts: readonly Attempt[], trails: readonly Trail[], loss?: Loss): number {
  const read = trails.map(trail => ({ ...trail, ids: idsOf(trail), isSure: resumes(trail) }))
  let lost = 0
  for (const { user, id, answeredAt = 0 } of attempts) {
    if (id === undefined || (loss !== undefined && answeredAt >= loss.from && answeredAt <= loss.to)) continue
    const own = read.filter(trail => trail.user === user)
    lost += own.filter(({ ids, isSure }) => isSure && !ids.has(id)).length
    if (own.length > 0 && own.every(({ ids, isSure }) => !isSure && !ids.has(id))) lost++
  }
  return lost
}

function countInversions({ presented, reads }: Visit): number {
  const [epochBefore, seqBefore] = presented?.split(':') ?? []
  let last = epochBefore ? { epoch: epochBefore, seq: Number(seqBefore) } : undefined
  let inversions = 0
  for (const { epoch, seq } of reads) {
    if (last?.epoch === epoch && seq !== last.seq + 1) inversions++
    last = { epoch, seq }
  }
  return inversions
}

/** Answered sends of one sender to one user reach a client in their order. */
function countDisorder({ visits }: Trail, answered: ReadonlyMap<string, Attempt>): number {
  const last = new Map<number, number>()
  const seen = new Set<string>()
  let disorder = 0
  for (const { id, sender, n } of visits.flatMap(({ reads }) => reads)) {
    if (seen.has(id) || !answered.has(id)) continue
    seen.add(id)
    if ((last.get(sender) ?? -1) > n) disorder++
    last.set(sender, n)
  }
  return disorder
}

export function countFigures(attempts: readonly Attempt[], trails: readonly Trail[], loss?: Loss): Figures {
  const tried = new Map(attempts.map(attempt => [nameOf(attempt), attempt]))
  const answered = new Map(
    attempts.flatMap(attempt => (attempt.id === undefined ? [] : [[attempt.id, attempt]])),
  )
  let [phantom, duplicates, inversions, lateMs] = [0, 0, 0, 0]
  for (const trail of trails) {
    const seen = new Set<string>()
    for (const visit of trail.visits) {
      if (visit.presented === undefined) seen.clear()
      inversions += countInversions(visit)
      for (const read of visit.reads) {
        const attempt = tried.get(nameOf(read))
        if (attempt?.user !== trail.user || (attempt.id ?? read.id) !== read.id) phantom++
        if (seen.has(read.id)) duplicates++
        else lateMs = Math.max(lateMs, read.at - (attempt?.answeredAt ?? read.at))
        seen.add(read.id)
      }
    }
    inversions += countDisorder(trail, answered)
  }
  return {
    accepted: answered.size,
    lost: countLost(attempts, trails, loss),
    phantom,
    duplicates,
    inversions,
    lateMs: Math.round(lateMs),
  }
}

const CATCH_UP_MS = 20_000

/** Counts when every client has everything, or after long enough. */
export async function countAtRest(
  attempts: readonly Attempt[],
  clients: readonly Client[],
  loss?: Loss,
): Promise<Figures> {
  await holdsWithin(CATCH_UP_MS, () => countLost(attempts, clients, loss) === 0)
  for (const client of clients) client.stop()
  return countFigures(attempts, clients, loss)
}
