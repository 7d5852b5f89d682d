import type { Socket } from 'bun'
import { createFrameReader, type RecordKind, readRecords, recordOf } from './frames.ts'
import { createOutgoing, type Outgoing } from './outgoing.ts'

/** Another worker of this machine. Each of the two writes over a socket of its own. */
export interface Peer {
  readonly instance: string
  /** Topics that it joined. */
  readonly topics: Set<string>
  /** Socket to it, once it is open. */
  out: Outgoing | undefined
  readonly sockets: Set<Pick<Socket, 'terminate'>>
  /** It has told all its topics. */
  isKnown: boolean
  /** It has confirmed all topics of this worker. */
  knowsUs: boolean
  hasEnded: boolean
  /** It said that it publishes no more. */
  saidBye: boolean
  /** Number of the last `sync` to confirm, while there is no socket to it. */
  owed: string | undefined
}

export const newPeer = (instance: string): Peer => ({
  instance,
  topics: new Set(),
  out: undefined,
  sockets: new Set(),
  isKnown: false,
  knowsUs: false,
  hasEnded: false,
  saidBye: false,
  owed: undefined,
})

/** Both tell each other everything: messages may go over the link. */
export const isReady = ({ isKnown, knowsUs, out }: Peer): boolean => isKnown && knowsUs && out !== undefined

interface ServeOptions {
  readonly path: string
  /** The socket belongs to the worker with this name from now on. */
  readonly onHello: (instance: string, socket: Pick<Socket, 'terminate'>) => Peer
  readonly onRecord: (peer: Peer, kind: RecordKind, topic: string, text: string) => void
  readonly onEnd: (peer: Peer, reason: string) => void
}

interface Inbound {
  peer?: Peer
  read?: (chunk: Buffer) => void
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Listens for siblings at a path. Throws if that is impossible. */
export function serveSiblings({ path, onHello, onRecord, onEnd }: ServeOptions): { stop(): void } {
  const readerOf = (socket: Socket<Inbound>) =>
    createFrameReader(records =>
      readRecords(records, (kind, topic, text) => {
        const { peer } = socket.data
        if (peer !== undefined) {
          if (!peer.hasEnded) onRecord(peer, kind, topic, text)
        } else if (kind === 'hello') socket.data.peer = onHello(topic, socket)
        else throw new Error('expected the name of a worker')
      }),
    )
  const end = (socket: Socket<Inbound>, reason: string): void => {
    socket.terminate()
    if (socket.data.peer !== undefined) onEnd(socket.data.peer, reason)
  }
  const listener = Bun.listen<Inbound>({
    unix: path,
    socket: {
      open: socket => {
        socket.data = { read: readerOf(socket) }
      },
      data: (socket, chunk) => {
        try {
          socket.data.read?.(chunk)
        } catch (error) {
          end(socket, reasonOf(error))
        }
      },
      close: socket => end(socket, 'it has closed its link'),
    },
  })
  return { stop: () => listener.stop(true) }
}

/** Connects to the sibling; resolves with the error if it does not listen. */
export async function dial(
  peer: Peer,
  path: string,
  us: string,
  onEnd: (peer: Peer, reason: string) => void,
): Promise<Error | undefined> {
  try {
    const socket = await Bun.connect<Outgoing | undefined>({
      unix: path,
      data: undefined,
      socket: {
        // Nothing arrives here: the sibling writes over its own socket.
        data: () => {},
        drain: ({ data }) => data?.drain(),
        close: () => onEnd(peer, 'it has closed its link'),
      },
    })
    if (peer.hasEnded) {
      socket.terminate()
      return undefined
    }
    peer.sockets.add(socket)
    const out = createOutgoing({
      write: bytes => socket.write(bytes),
      onFull: () => onEnd(peer, 'it does not read: too much waits for it'),
    })
    socket.data = out
    out.put(recordOf('hello', us))
    peer.out = out
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
