/**
 * Common parts of the controls: the least work in Bun that does a row's job. Paths and keys are compared as text, bodies
 * are parsed and not checked, a token is verified synchronously, nothing is logged, no header is set.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Server } from 'bun'

const { SERVER_PORT, API_KEY, JWT_SECRET = '' } = process.env

export const LISTEN = { hostname: '127.0.0.1', port: Number(SERVER_PORT), idleTimeout: 0 } as const
export const SENDS = '/api/v1/notifications'

export interface Send {
  readonly target_user_id: string
  readonly target_user_ids: readonly string[]
  readonly channel: string
  readonly event_type: string
  readonly payload: unknown
}

export const pathOf = ({ url }: Request): string => url.slice(url.indexOf('/', 8))

export const hasKey = ({ headers }: Request): boolean => headers.get('x-api-key') === API_KEY

/** Answers all other requests: readiness and refusals. */
export const other = (path: string): Response =>
  new Response(null, { status: path === '/health/ready' ? 200 : 404 })

/** Reads the user of `?token=<HS256 token>`. */
export function userOf(path: string): string | undefined {
  const start = path.indexOf('=') + 1
  const end = path.indexOf('&', start)
  const [head = '', body = '', signature = ''] = path.slice(start, end < 0 ? undefined : end).split('.')
  const expected = createHmac('sha256', JWT_SECRET).update(`${head}.${body}`).digest()
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  const { sub, exp } = JSON.parse(Buffer.from(body, 'base64url').toString())
  return Date.now() / 1000 < exp ? sub : undefined
}

/** Upgrades `GET /ws?token=…`; the data of the socket is its user. */
export function upgrade(request: Request, path: string, server: Server<string>): Response | undefined {
  const user = userOf(path)
  if (user !== undefined && server.upgrade(request, { data: user })) return undefined
  return new Response(null, { status: 401 })
}

/** Builds a message with the fields of the service, in the same order. */
export function frameOf(
  { event_type, payload }: Send,
  id: string,
  source = 'http-api',
  cursor?: string,
): string {
  const metadata = { source, priority: 'Normal' }
  const occurred_at = new Date().toISOString()
  return JSON.stringify({ type: 'notification', id, occurred_at, event_type, payload, metadata, cursor })
}

export const resultOf = (notification_id: string, delivered_to: number, queued = 0): Response =>
  Response.json({
    success: delivered_to > 0 || queued > 0,
    notification_id,
    delivered_to,
    failed: 0,
    timestamp: new Date().toISOString(),
    queued,
    status: delivered_to > 0 ? 'delivered' : queued > 0 ? 'queued' : 'no_recipient',
  })

/** Serves only sends to disconnected users. `keep` resolves when the send may be answered. */
export function serveSends(keep: (send: Send, id: string) => Promise<unknown> | undefined): void {
  Bun.serve({
    ...LISTEN,
    async fetch(request) {
      const path = pathOf(request)
      if (path !== `${SENDS}/send` || !hasKey(request)) return other(path)
      const send = (await request.json()) as Send
      const id = crypto.randomUUID()
      const kept = keep(send, id)
      if (kept !== undefined) await kept
      return resultOf(id, 0, 1)
    },
  })
}
