import { signTokens } from './load.ts'

const USERS = 1_000
/** Longest wait for an answer. */
const PATIENCE_MS = 5_000
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** Ends of attempts to open a WebSocket. */
export interface Arrivals {
  accepted: number
  /** By the kernel, at the connect. */
  refused: number
  /** After the connect, before an answer. */
  reset: number
  /** Another answer than 101. */
  rejected: number
  silent: number
}

type End = keyof Arrivals

async function arrive(port: number, token: string): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>()
  const patience = setTimeout(() => resolve('silent'), PATIENCE_MS)
  let head = ''
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data: (_, chunk) => {
        head += chunk.toString('latin1')
        if (head.includes('\r\n\r\n')) resolve(head.startsWith('HTTP/1.1 101') ? 'accepted' : 'rejected')
      },
      close: () => resolve('reset'),
      error: () => resolve('reset'),
    },
  }).catch(() => undefined)
  if (socket === undefined) resolve('refused')
  socket?.write(`GET /ws?token=${token} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${UPGRADE}\r\n`)
  const end = await promise
  clearTimeout(patience)
  socket?.terminate()
  return end
}

/** Opens WebSockets at this rate until the condition holds, and leaves each at once. */
export async function arriveUntil(
  isOver: () => boolean,
  { port, perSecond }: { readonly port: number; readonly perSecond: number },
): Promise<Arrivals> {
  const tokens = await signTokens(USERS)
  const arrivals: Arrivals = { accepted: 0, refused: 0, reset: 0, rejected: 0, silent: 0 }
  const underWay = new Set<Promise<void>>()
  const startedAt = performance.now()
  for (let count = 0; !isOver(); await Bun.sleep(1)) {
    const due = ((performance.now() - startedAt) / 1_000) * perSecond
    for (; count < due; count++) {
      const one: Promise<void> = arrive(port, tokens[count % USERS] ?? '').then(end => {
        arrivals[end]++
        underWay.delete(one)
      })
      underWay.add(one)
    }
  }
  await Promise.all(underWay)
  return arrivals
}
