import type { TestApp } from './app.ts'
import { connectSocket, connectStream, type Message, type SocketClient, type StreamClient } from './client.ts'

type Address = Readonly<Record<string, string>>

async function addressOf(app: TestApp, path: string, user: string, query: Address, claims: object) {
  const token = await app.token(user, { ...claims })
  return `${app.url}${path}?${new URLSearchParams({ token, ...query })}`
}

/** Opens a WebSocket with parameters in its address: `{ channels: 'a,b', cursor: '' }`. */
export const socketAt = async (
  app: TestApp,
  query: Address,
  claims = {},
  user = 'u',
): Promise<SocketClient> => connectSocket(await addressOf(app, '/ws', user, query, claims))

/** Opens an SSE stream with parameters in its address. */
export const streamAt = async (
  app: TestApp,
  query: Address,
  claims = {},
  user = 'u',
): Promise<StreamClient> => connectStream(await addressOf(app, '/sse', user, query, claims))

export interface Refusal {
  readonly status: number
  readonly error: Message
}

/** The refusal of an address such as `/sse?channels=a`; the token goes in a header. */
export async function refusalOf(app: TestApp, address: string, token: string | undefined): Promise<Refusal> {
  const headers = {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(address.startsWith('/ws') && {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    }),
  }
  const response = await fetch(app.url + address, { headers })
  const { error } = (await response.json()) as Message
  return { status: response.status, error }
}
