import type { TestApp } from './app.ts'
import { connectSocket, connectStream, type Message, type SocketClient, type StreamClient } from './client.ts'
import { connectRaw, type RawClient, type RawOptions } from './raw-socket.ts'
import { startStopwatch } from './stopwatch.ts'

interface Visit extends RawOptions {
  /** Cursor in the query; on a WebSocket it opts in to `connected`. */
  readonly cursor?: string
  readonly claims?: Record<string, unknown>
  readonly headers?: Record<string, string>
}

async function pathOf(app: TestApp, path: string, user: string, { cursor, claims }: Visit): Promise<string> {
  const place = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`
  return `${path}?token=${await app.token(user, claims)}${place}`
}

/** Opens a WebSocket of the user. */
export const socketOf = async (app: TestApp, user: string, visit: Visit = {}): Promise<SocketClient> =>
  connectSocket(app.url + (await pathOf(app, '/ws', user, visit)), undefined, visit.headers)

/** Opens an SSE stream of the user. */
export const streamOf = async (app: TestApp, user: string, visit: Visit = {}): Promise<StreamClient> =>
  connectStream(app.url + (await pathOf(app, '/sse', user, visit)), visit.headers)

/** Opens a WebSocket of the user under full control of the test. */
export const rawOf = async (app: TestApp, user: string, visit: Visit = {}): Promise<RawClient> =>
  connectRaw(app.port, await pathOf(app, '/ws', user, visit), [], visit)

async function call(app: TestApp, path: string, body: object): Promise<Message> {
  const { status, json, text } = await app.post(`/api/v1/notifications${path}`, { event_type: 'e', ...body })
  if (status !== 200) throw new Error(`${path} answered ${status}: ${text}`)
  return json
}

/** Sends to one user and returns the result. */
export const send = (app: TestApp, user: string, payload: unknown, more: object = {}): Promise<Message> =>
  call(app, '/send', { target_user_id: user, payload, ...more })

export const sendToUsers = (app: TestApp, users: readonly string[], payload: unknown): Promise<Message> =>
  call(app, '/send-to-users', { target_user_ids: users, payload })

export const publish = (app: TestApp, channel: string, payload: unknown): Promise<Message> =>
  call(app, '/channel', { channel, payload })

export const broadcast = (app: TestApp, payload: unknown): Promise<Message> =>
  call(app, '/broadcast', { payload })

/** Number of connections that have subscribed to a channel. */
export async function subscribers(app: TestApp, channel: string): Promise<number> {
  const { json } = await app.get(`/api/v1/channels/${encodeURIComponent(channel)}`)
  return json.subscriber_count ?? 0
}

/** Open connections of a user. */
export const connectionsOf = async (app: TestApp, user: string): Promise<number> =>
  (await app.get(`/api/v1/users/${user}/presence`)).json.connections

/** Messages before the answer to a Ping: everything dispatched to the client so far. */
export async function settle(client: SocketClient): Promise<Message[]> {
  client.send({ type: 'Ping' })
  const before: Message[] = []
  for (;;) {
    const message = await client.next()
    if (message.type === 'pong') return before
    before.push(message)
  }
}

/** Polls until the condition holds, for work of the service that causes no event. */
export async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const elapsed = startStopwatch()
  while (!(await holds())) {
    if (elapsed() > withinMs) throw new Error('it never held')
    await new Promise(setImmediate)
  }
}
