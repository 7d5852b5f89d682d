import type { Server } from 'bun'
import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import { whenReady } from '../lib/flow/awaitable.ts'
import { endName } from '../lib/system/proc-net.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Admission, Admit } from './admission.ts'
import type { Sessions } from './session.ts'
import { type SocketContext, socketRoute } from './socket-route.ts'
import { SsePeer } from './sse-peer.ts'
import { createOutputs } from './stream-output.ts'

interface SseOptions {
  readonly admit: Admit
  readonly sessions: Sessions
  readonly buffers: Pick<SendBuffers, 'grew'>
  readonly onFault: OnFault
  readonly clock: Clock
  readonly sendBufferBytes: number
  readonly keepAliveSeconds: number
}

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
}

/** `GET /sse`. */
export function sseRoutes({
  admit,
  sessions,
  buffers,
  onFault,
  clock,
  sendBufferBytes,
  keepAliveSeconds,
}: SseOptions) {
  const shared = {
    sendBufferBytes,
    buffers,
    outputs: createOutputs(onFault),
    end: sessions.ended,
    keepAliveSeconds,
  }
  const open = ({ request, server }: SocketContext, admission: Admission): Response => {
    const bun = server as Server<unknown> | null
    const client = bun?.requestIP(request)
    const clientEnd = client ? endName(client.address, client.port) : ''
    const peer = new SsePeer(
      admission.principal,
      clientEnd,
      { request, server: bun },
      shared,
      clock.monotonic(),
    )
    const over = sessions.open(peer, admission)
    if (over !== undefined)
      throw new AppError('CONNECTION_LIMIT', {
        message: `the limit of connections (${over}) is reached`,
        headers: { 'retry-after': '5' },
      })
    return new Response(peer.body(), { headers: HEADERS })
  }
  return new Elysia({ name: 'sse' }).get(
    '/sse',
    context =>
      whenReady(admit(context.request, 'sse', context.set.headers), admission => open(context, admission)),
    socketRoute('Opens an SSE stream'),
  )
}
