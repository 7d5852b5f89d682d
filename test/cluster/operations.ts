import type { Random } from '../support/random.ts'

/** Names that a wrong separator or encoding would confuse. */
const USERS = [
  'u',
  'a:b',
  'ü:é/ß',
  '日本 ユーザー',
  '{x}',
  'a*b?[c]',
  '😀',
  'tenant:acme',
  'x'.repeat(256),
  'u%2F7',
] as const
const CHANNELS = ['orders', 'a.b', '日本', 'ж-1', '_', '-', 'x'.repeat(64), 'A', 'ａ'] as const
const TENANTS = ['default', 'default', 'default', 'acme', 'a.b'] as const
const TEMPLATES = ['t1', 't-é', 'T_2'] as const
const ROLES = ['admin', 'dev'] as const
const PRIORITIES = ['Low', 'Normal', 'High', 'Critical'] as const

interface Place {
  /** The node that carries it out, modulo their number. */
  readonly node: number
  readonly tenant: string
}

/** One operation. Clients and notifications are meant by their number. */
export type Operation = Place &
  (
    | {
        readonly kind: 'connect'
        readonly client: number
        readonly user: string
        readonly transport: 'ws' | 'sse'
        readonly channels: readonly string[]
        readonly roles: readonly string[]
      }
    | { readonly kind: 'close'; readonly client: number }
    | { readonly kind: 'say'; readonly client: number; readonly message: object }
    | { readonly kind: 'ack'; readonly client: number; readonly notification: number }
    | { readonly kind: 'call'; readonly method: string; readonly path: string; readonly body?: object }
    | { readonly kind: 'status'; readonly notification: number }
  )

/** Random operations over few names, so that they meet. */
export function createOperations(random: Random, count: number): readonly Operation[] {
  const { pick, chance, whole } = random
  const some = <T>(make: () => T, most: number): T[] => Array.from({ length: whole(0, most) }, make)
  const users = [pick(USERS), pick(USERS), pick(USERS), pick(USERS)] as const
  const channels = [pick(CHANNELS), pick(CHANNELS), pick(CHANNELS), pick(CHANNELS)] as const
  const user = () => pick(users)
  const channel = () => pick(channels)
  let clients = 0
  const client = () => whole(0, Math.max(0, clients - 1))
  const template = () => encodeURIComponent(pick(TEMPLATES))

  const content = (): object => ({
    ...(chance(0.25)
      ? { template_id: pick(TEMPLATES), variables: { a: whole(0, 9) } }
      : { event_type: 'e', payload: chance(0.1) ? { text: 'y'.repeat(2_000) } : { n: whole(0, 99_999) } }),
    ...(chance(0.2) && { priority: pick(PRIORITIES) }),
    ...(chance(0.2) && { ttl: pick([0, 1_000]) }),
    ...(chance(0.1) && { idempotency_key: `k${whole(0, 8)}` }),
  })
  const audience = () =>
    pick<object>([
      { type: 'All' },
      { type: 'Roles', value: some(() => pick(ROLES), 2) },
      { type: 'Users', value: some(user, 3) },
      { type: 'Channels', value: some(channel, 3) },
    ])
  const target = () =>
    pick<object>([
      { type: 'user', value: user() },
      { type: 'users', value: some(user, 3) },
      { type: 'broadcast', value: undefined },
      { type: 'channel', value: channel() },
      { type: 'channels', value: some(channel, 3) },
    ])
  const send = () =>
    pick<readonly [path: string, aim: object]>([
      ['send', { target_user_id: user() }],
      ['send-to-users', { target_user_ids: some(user, 6) }],
      ['channel', { channel: channel() }],
      ['channels', { channels: some(channel, 3) }],
      ['broadcast', chance(0.5) ? { audience: audience() } : {}],
    ])
  const lookUp = () =>
    pick([
      `/api/v1/users/${encodeURIComponent(user())}/presence`,
      `/api/v1/users/${encodeURIComponent(user())}/subscriptions`,
      `/api/v1/users/${encodeURIComponent(user())}/notifications?limit=3`,
      '/api/v1/channels',
      `/api/v1/channels?limit=2&after=${encodeURIComponent(channel())}`,
      `/api/v1/channels/${encodeURIComponent(channel())}`,
      '/api/v1/tenants',
      `/api/v1/tenants/${pick(TENANTS)}`,
      '/api/v1/templates',
      '/stats',
    ])
  const make = (): Operation => {
    const place: Place = { node: whole(0, 5), tenant: pick(TENANTS) }
    const call = (method: string, path: string, body?: object): Operation => ({
      ...place,
      kind: 'call',
      method,
      path,
      ...(body && { body }),
    })
    const kind = whole(0, 99)
    if (kind < 18)
      return {
        ...place,
        kind: 'connect',
        client: clients++,
        user: user(),
        transport: chance(0.3) ? 'sse' : 'ws',
        channels: some(channel, 2),
        roles: some(() => pick(ROLES), 1),
      }
    if (kind < 25) return { ...place, kind: 'close', client: client() }
    if (kind < 33) {
      const type = chance(0.7) ? 'Subscribe' : 'Unsubscribe'
      return {
        ...place,
        kind: 'say',
        client: client(),
        message: { type, payload: { channels: some(channel, 4) } },
      }
    }
    if (kind < 40) return { ...place, kind: 'ack', client: client(), notification: whole(0, 50) }
    if (kind < 44) return { ...place, kind: 'status', notification: whole(0, 50) }
    if (kind < 64) {
      const [path, aim] = send()
      return call('POST', `/api/v1/notifications/${path}`, { ...aim, ...content() })
    }
    if (kind < 68)
      return call('POST', '/api/v1/notifications/batch', {
        notifications: some(() => ({ target: target(), ...content() }), 5),
        options: { stop_on_error: chance(0.5), deduplicate: chance(0.5) },
      })
    if (kind < 71)
      return call('POST', '/api/v1/templates', {
        id: pick(TEMPLATES),
        name: 'n',
        event_type: 'x',
        payload_template: { a: '{{a}}', v: whole(0, 999) },
      })
    if (kind < 73)
      return call('PUT', `/api/v1/templates/${template()}`, {
        payload_template: { b: '{{{a}}}', v: whole(0, 99) },
      })
    if (kind < 74) return call('DELETE', `/api/v1/templates/${template()}`)
    if (kind < 76) return call('POST', `/api/v1/users/${encodeURIComponent(user())}/disconnect`, {})
    return call('GET', lookUp())
  }
  return Array.from({ length: count }, make)
}
