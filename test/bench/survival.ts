import { awaitedLater } from '../support/awaited-later.ts'
import { signTokens } from './load.ts'
import type { BenchNodes } from './nodes.ts'
import type { Times } from './row.ts'
import { API_KEY } from './server.ts'

/** Client that saves its place and reconnects to the next node when its connection ends. */
export interface SurvivingClient {
  /** Connects to the port. `hear` gets the number of each notification; resolves when the connection has ended. */
  visit(port: number, token: string, hear: (number: number) => void): Promise<void>
}

const CLIENTS = 200
const SENDS_PER_SECOND = 400
const RETRY_MS = 100
/** The delay of Socket.IO's own client: 1 s, give or take a half. */
const reconnectMs = (): number => 500 + Math.random() * 1_000
const SETTLE_MS = 10_000

export interface Survived {
  /** Accepted notifications that their user never received. */
  readonly lost: number
  readonly repeated: number
  readonly accepted: number
}

interface User {
  readonly token: string
  readonly accepted: Set<number>
  readonly received: Set<number>
  sent: number
}

/** Sends until a node accepts, at another node after each failure. */
async function sendUntilAccepted(ports: readonly number[], first: number, body: object): Promise<void> {
  const headers = {
    'content-type': 'application/json',
    'x-api-key': API_KEY,
    'idempotency-key': crypto.randomUUID(),
  }
  for (let n = first; ; n++) {
    const port = ports[n % ports.length]
    const isAccepted = await fetch(`http://127.0.0.1:${port}/api/v1/notifications/send`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    }).then(
      answer => answer.ok,
      () => false,
    )
    if (isAccepted) return
    await Bun.sleep(RETRY_MS)
  }
}

/** Kills one of two nodes under load, and counts what its clients miss after they reconnected to the other. */
export async function survive(
  { ports, servers }: BenchNodes,
  createClient: () => SurvivingClient,
  { warm, measure }: Times,
): Promise<Survived> {
  const tokens = await signTokens(CLIENTS)
  const users = tokens.map((token): User => ({ token, accepted: new Set(), received: new Set(), sent: 0 }))
  let repeated = 0
  let isOver = false

  const live = async ({ token, received }: User, place: number): Promise<void> => {
    const client = createClient()
    const hear = (number: number): void => {
      if (received.has(number)) repeated++
      received.add(number)
    }
    for (let node = place; !isOver; node++) {
      await client.visit(ports[node % ports.length] ?? 0, token, hear)
      await Bun.sleep(reconnectMs())
    }
  }
  for (const [n, user] of users.entries()) void live(user, n)
  await Bun.sleep(warm * 1_000)

  const sending: Promise<void>[] = []
  const sendNext = async (n: number): Promise<void> => {
    const user = users[n % CLIENTS]
    if (user === undefined) return
    const number = user.sent++
    const target_user_id = `user-${n % CLIENTS}`
    await sendUntilAccepted(ports, n >> 1, { target_user_id, event_type: 'bench', payload: { number } })
    user.accepted.add(number)
  }
  let sends = 0
  const startedAt = performance.now()
  const pace = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1_000) * SENDS_PER_SECOND
    while (sends < due) sending.push(awaitedLater(sendNext(sends++)))
  }, 5)
  await Bun.sleep(measure * 500)
  servers[0]?.kill('SIGKILL')
  await Bun.sleep(measure * 1_000)
  clearInterval(pace)
  await Promise.all(sending)

  const missing = (): number =>
    users.reduce((sum, { accepted, received }) => sum + accepted.difference(received).size, 0)
  for (const limit = performance.now() + SETTLE_MS; missing() > 0 && performance.now() < limit; )
    await Bun.sleep(50)
  isOver = true
  return { lost: missing(), repeated, accepted: sends }
}
