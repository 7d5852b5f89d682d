import type { TestApp } from './app.ts'
import type { Message } from './client.ts'

type Target =
  | { readonly type: 'user' | 'channel'; readonly value: string }
  | { readonly type: 'users' | 'channels'; readonly value: readonly string[] }
  | { readonly type: 'broadcast' }

/** Six ways to send: five endpoints and a batch of one. */
export interface Way {
  readonly name: string
  readonly path: string
  body(payload: unknown): object
}

const AT = '/api/v1/notifications'

/** Builds each way to send to this user and channel; `audience` applies to the broadcast. */
export function waysTo(user: string, channel: string, audience?: object): readonly Way[] {
  const content = { event_type: 'e' }
  const way = (name: string, path: string, target: object): Way => ({
    name,
    path: AT + path,
    body: payload => ({ ...content, ...target, payload }),
  })
  const item = (target: Target, more: object = {}): Way => ({
    name: `batch to ${target.type}`,
    path: `${AT}/batch`,
    body: payload => ({ notifications: [{ ...content, ...more, target, payload }] }),
  })
  const meant = audience && { audience }
  return [
    way('/send', '/send', { target_user_id: user }),
    way('/send-to-users', '/send-to-users', { target_user_ids: [user] }),
    way('/broadcast', '/broadcast', { ...meant }),
    way('/channel', '/channel', { channel }),
    way('/channels', '/channels', { channels: [channel] }),
    item({ type: 'user', value: user }),
    item({ type: 'users', value: [user] }),
    item({ type: 'broadcast' }, meant),
    item({ type: 'channel', value: channel }),
    item({ type: 'channels', value: [channel] }),
  ]
}

/** Sends for a tenant; returns the result of the send or of its only item. */
export async function sendIn(app: TestApp, tenant: string, way: Way, payload: unknown): Promise<Message> {
  const { status, json, text } = await app.post(way.path, way.body(payload), { 'x-tenant-id': tenant })
  if (status !== 200) throw new Error(`${way.name} answered ${status}: ${text}`)
  return json.results?.[0] ?? json
}
