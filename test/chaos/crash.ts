import { API_KEY } from '../support/app.ts'
import { connectSocket, type Message } from '../support/client.ts'
import type { Random } from '../support/random.ts'
import type { Service } from '../support/service.ts'

/** A send that was attempted. `id` is set after a 2xx answer. */
export interface Attempt {
  readonly user: string
  /** Number of the attempt by its sender, from 0. A sender waits for each answer. */
  readonly sender: number
  readonly n: number
  id: string | undefined
}

export interface Crash {
  readonly lost: number
  readonly phantom: number
  readonly duplicates: number
  /** Entries that are not next in the log, or break the order of their sender. */
  readonly inversions: number
}

export const NO_FAULT: Crash = { lost: 0, phantom: 0, duplicates: 0, inversions: 0 }

const nameOf = ({ user, sender, n }: Pick<Attempt, 'user' | 'sender' | 'n'>): string =>
  `${user}/${sender}/${n}`

export const post = (url: string, path: string, body: unknown, headers = {}): Promise<Response> =>
  fetch(`${url}/api/v1/notifications${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, ...headers },
    body: JSON.stringify(body),
  })

/** Sends from several senders at once until the service is gone. Resolves with all attempts. */
export async function sendUntilGone(
  { url }: Service,
  { senders, users, random }: { readonly senders: number; readonly users: number; readonly random: Random },
): Promise<readonly Attempt[]> {
  const attempts: Attempt[] = []
  const text = 'x'.repeat(random.whole(0, 2_000))
  const run = async (sender: number): Promise<void> => {
    for (let n = 0; ; n++) {
      const attempt: Attempt = { user: `user-${random.whole(0, users - 1)}`, sender, n, id: undefined }
      attempts.push(attempt)
      const body = { target_user_id: attempt.user, event_type: 'e', payload: { sender, n, text } }
      const answer = await post(url, '/send', body).catch(() => undefined)
      if (answer?.status !== 200) return
      // A response cut off after its head is no answer.
      const said: Message = await answer.json().catch(() => undefined)
      if (said === undefined) return
      attempt.id = said.notification_id
    }
  }
  await Promise.all(Array.from({ length: senders }, (_, sender) => run(sender)))
  return attempts
}

/** All entries of the user's log, as a client with an empty cursor reads them. */
export async function readAll(service: Service, user: string): Promise<readonly Message[]> {
  using socket = await connectSocket(`${service.url}/ws?token=${await service.token(user)}&cursor=`)
  const { replayed } = await socket.next()
  return await socket.take(replayed)
}

/** Compares the logs after a crash with the attempts before it. An attempt without an answer may be in the log or not. */
export function countCrash(
  attempts: readonly Attempt[],
  logs: ReadonlyMap<string, readonly Message[]>,
): Crash {
  const tried = new Map(attempts.map(attempt => [nameOf(attempt), attempt]))
  const answered = new Set(attempts.flatMap(({ id }) => id ?? []))
  let [phantom, duplicates, inversions] = [0, 0, 0]
  for (const [user, messages] of logs) {
    const ids = new Set<string>()
    const names = new Set<string>()
    const last = new Map<number, number>()
    for (const [at, { id, cursor, payload }] of messages.entries()) {
      const { sender, n } = payload
      const attempt = tried.get(nameOf({ user, sender, n }))
      if (attempt === undefined || (attempt.id ?? id) !== id) phantom++
      if (ids.has(id) || names.has(nameOf({ user, sender, n }))) duplicates++
      if (Number(String(cursor).split(':')[1]) !== at + 1 || (last.get(sender) ?? -1) >= n) inversions++
      ids.add(id)
      names.add(nameOf({ user, sender, n }))
      last.set(sender, n)
      answered.delete(id)
    }
  }
  return { lost: answered.size, phantom, duplicates, inversions }
}

/** Runs `disturb` at a random moment of `work`. */
export async function amid<T>(
  random: Random,
  maxMs: number,
  work: Promise<T>,
  disturb: () => void,
): Promise<T> {
  const timer = setTimeout(disturb, random.whole(1, maxMs))
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}
