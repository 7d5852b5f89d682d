import type { Socket } from 'bun'

/** What all clients of a run have got. */
export interface Received {
  frames: number
  /** Milliseconds from the stamp in a payload to its receipt, of every twentieth client. */
  readonly latencies: number[]
}

/** Finds the stamp that a paced publisher puts into its payload: milliseconds of `performance.now()`. */
const STAMP = /"at":(\d+\.\d+)/
const SAMPLED = 20
const NOTIFICATION = '"type":"notification"'
const TEXT = 0x1
const PING = 0x9
const PONG_HEADER = 0x8a
const MASKED = 0x80

interface Client {
  readonly index: number
  readonly received: Received
  readonly opened: () => void
  rest: Buffer
  isOpen: boolean
}

function receive(text: () => string, { index, received }: Client): void {
  received.frames++
  if (index % SAMPLED !== 0) return
  const stamp = STAMP.exec(text())?.[1]
  if (stamp !== undefined) received.latencies.push(performance.now() - Number(stamp))
}

/** Answers with the same bytes, under a mask of zeros (RFC 6455 §5.5.3). */
const pong = (payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([PONG_HEADER, MASKED | payload.length, 0, 0, 0, 0]), payload])

/** Reads the frames of a server (RFC 6455 §5.2): never masked, here never over 64 KiB. Returns what is not whole yet. */
function readFrames(bytes: Buffer, client: Client, socket: Socket<Client>): Buffer {
  let at = 0
  while (bytes.length - at >= 4) {
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const head = short === 126 ? 4 : 2
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short
    if (bytes.length - at < head + length) break
    const payload = bytes.subarray(at + head, at + head + length)
    const opcode = (bytes[at] ?? 0) & 0xf
    if (opcode === PING) socket.write(pong(payload))
    // `{"type":"n…`: notifications alone begin so.
    if (opcode === TEXT && payload[9] === 0x6e) receive(() => payload.toString('latin1'), client)
    if (opcode === TEXT && payload[9] === 0x73) client.opened()
    at += head + length
  }
  return at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at))
}

const EMPTY = Buffer.alloc(0)

/** Counts the events of a stream; what may be the beginning of one stays. */
function readEvents(bytes: Buffer, client: Client): Buffer {
  let at = 0
  for (;;) {
    const found = bytes.indexOf(NOTIFICATION, at, 'latin1')
    const end = found === -1 ? -1 : bytes.indexOf('\n', found, 'latin1')
    if (end === -1)
      return Buffer.from(
        bytes.subarray(found === -1 ? Math.max(at, bytes.length - NOTIFICATION.length) : found),
      )
    receive(() => bytes.toString('latin1', found, end), client)
    at = end
  }
}

const subscribe = (): Buffer => {
  const message = Buffer.from('{"type":"Subscribe","payload":{"channels":["bench"]}}')
  return Buffer.concat([Buffer.from([0x80 | TEXT, MASKED | message.length, 0, 0, 0, 0]), message])
}

interface Wanted {
  readonly port: number
  readonly transport: 'ws' | 'sse'
  readonly tokens: readonly string[]
  /** WebSockets only: every client holds the channel `bench` before it counts as open. */
  readonly subscribed?: boolean
}

export interface Clients extends Disposable {
  readonly received: Received
}

const OPENING_AT_ONCE = 64

/** Opens one connection a token, 64 at a time, over plain sockets: a client library would cost more than the server. */
export async function openClients({ port, transport, tokens, subscribed = false }: Wanted): Promise<Clients> {
  const received: Received = { frames: 0, latencies: [] }
  const sockets: Socket<Client>[] = []
  const isWebSocket = transport === 'ws'
  const upgrade = isWebSocket
    ? 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    : ''

  const handlers = {
    data(socket: Socket<Client>, chunk: Buffer) {
      const client = socket.data
      let bytes = client.rest.length === 0 ? chunk : Buffer.concat([client.rest, chunk])
      if (!client.isOpen) {
        const end = bytes.indexOf('\r\n\r\n')
        if (end === -1) {
          client.rest = Buffer.from(bytes)
          return
        }
        const status = bytes.toString('latin1', 9, 12)
        if (status !== (isWebSocket ? '101' : '200')) throw new Error(`a connection was refused: ${status}`)
        client.isOpen = true
        bytes = bytes.subarray(end + 4)
        if (subscribed) socket.write(subscribe())
        else client.opened()
      }
      client.rest = isWebSocket ? readFrames(bytes, client, socket) : readEvents(bytes, client)
    },
  }

  const openOne = async (index: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = await Bun.connect<Client>({
      hostname: '127.0.0.1',
      port,
      socket: handlers,
      data: { index, received, opened: resolve, rest: EMPTY, isOpen: false },
    })
    sockets.push(socket)
    socket.write(`GET /${transport}?token=${tokens[index]} HTTP/1.1\r\nHost: bench\r\n${upgrade}\r\n`)
    await promise
  }

  let next = 0
  const openOn = async (): Promise<void> => {
    while (next < tokens.length) await openOne(next++)
  }
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openOn))
  return {
    received,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.terminate()
    },
  }
}
