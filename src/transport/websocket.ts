import type { Server, WebSocketHandler } from 'bun'
import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Together } from '../hub/together.ts'
import { whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Admission, Admit } from './admission.ts'
import { errorFrame } from './outbound.ts'
import { closeCodeOf } from './runtime-close.ts'
import type { Sessions } from './session.ts'
import { type SocketContext, socketRoute } from './socket-route.ts'
import { WebSocketPeer } from './websocket-peer.ts'

const MAX_MESSAGE_BYTES = 65_536
/** Frees sockets of lost clients; clients that answer pings never reach it. */
const IDLE_SECONDS = 960
/** Bytes beyond the limit before the runtime itself cuts; one flush may add that much. */
const FLUSH_SLACK_BYTES = 4 * 1024 * 1024
interface WebSocketOptions {
  readonly admit: Admit
  readonly sessions: Sessions
  readonly buffers: Pick<SendBuffers, 'grew'>
  readonly together: Together
  readonly clock: Clock
  readonly sendBufferBytes: number
}

const isUpgrade = ({ headers }: Request): boolean =>
  headers.get('upgrade')?.toLowerCase() === 'websocket' &&
  /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(headers.get('connection') ?? '') &&
  headers.get('sec-websocket-version') === '13' &&
  /^[A-Za-z0-9+/]{22}==$/.test(headers.get('sec-websocket-key') ?? '')

/** `GET /ws`: everything up to the 101. */
export const webSocketRoutes = ({
  admit,
  sessions,
  buffers,
  together,
  clock,
  sendBufferBytes,
}: WebSocketOptions) => {
  const shared = { clock, buffers, together, sendBufferBytes, end: sessions.ended }
  const upgrade = (
    { request, server, set, common }: SocketContext,
    { principal, subprotocol, ...opening }: Admission,
  ): void => {
    const data = new WebSocketPeer(principal, opening, shared)
    // The runtime takes a Headers 5 µs faster than a plain object.
    const headers = new Headers(common)
    for (const name in set.headers) headers.set(name, String(set.headers[name]))
    // Without this header the runtime would select the first subprotocol that is offered.
    headers.set('sec-websocket-protocol', subprotocol ?? '')
    // Elysia's server type does not include our socket data.
    const upgraded =
      isUpgrade(request) && (server as Server<WebSocketPeer> | null)?.upgrade(request, { data, headers })
    if (!upgraded) throw new AppError('UPGRADE_REQUIRED', { headers: { upgrade: 'websocket' } })
    // The runtime has sent 101 itself; this status is for the metrics.
    set.status = 101
  }
  return new Elysia({ name: 'websocket' }).get(
    '/ws',
    context =>
      whenReady(admit(context.request, 'ws', context.set.headers), admission => upgrade(context, admission)),
    socketRoute('Opens a WebSocket'),
  )
}

/** Handlers of the runtime. Each is synchronous until its work is queued and counted. */
export const webSocketHandler = ({
  sessions,
  sendBufferBytes,
}: Pick<WebSocketOptions, 'sessions' | 'sendBufferBytes'>): WebSocketHandler<WebSocketPeer> => ({
  maxPayloadLength: MAX_MESSAGE_BYTES,
  backpressureLimit: sendBufferBytes + FLUSH_SLACK_BYTES,
  closeOnBackpressureLimit: true,
  idleTimeout: IDLE_SECONDS,
  perMessageDeflate: false,
  sendPings: false,
  open: socket => {
    const peer = socket.data
    peer.attach(socket)
    const over = peer.opening && sessions.open(peer, peer.opening)
    peer.opening = undefined
    if (over === undefined) return
    socket.send(errorFrame('CONNECTION_LIMIT', `the limit of connections (${over}) is reached`).json, false)
    peer.close('connectionLimit')
  },
  message: ({ data: peer }, message) => {
    peer.unblockSoon()
    if (typeof message === 'string') sessions.message(peer, message)
    else sessions.binary(peer)
  },
  ping: ({ data: peer }) => {
    peer.unblockSoon()
    sessions.seen(peer)
  },
  pong: ({ data: peer }, payload) => {
    peer.unblockSoon()
    const proof = peer.answered(payload.toString('latin1'))
    if (proof === undefined) sessions.seen(peer)
    else sessions.proved(peer, proof)
  },
  drain: ({ data: peer }) => peer.unblock(),
  close: ({ data: peer }, code, reason) => {
    sessions.ended(peer, { code: closeCodeOf(code, reason) })
    peer.release()
  },
})
