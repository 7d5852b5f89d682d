import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'

/** Bounds the bytes that wait for all clients of this node. */
export interface SendBuffers {
  /** Adds bytes that wait for a client. The next measurement subtracts what clients have read. */
  grew(bytes: number): void
  /** Measures again if anything grew. Above the bound, cuts the connections with the most waiting bytes. */
  measure(): void
}

/** Share of the bound to cut down to: not every further byte costs a measurement. */
const RELIEVED = 0.9

export function createSendBuffers({
  hub,
  maxBytes,
  onFault,
}: {
  readonly hub: Pick<Hub, 'connections'>
  readonly maxBytes: number
  readonly onFault: (error: unknown) => void
}): SendBuffers {
  /** Upper estimate of the waiting bytes. */
  let waitingBytes = 0
  let isPlanned = false

  const measure = (): void => {
    isPlanned = false
    if (waitingBytes === 0) return
    waitingBytes = 0
    const behind: { readonly connection: Connection; readonly bytes: number }[] = []
    for (const connection of hub.connections()) {
      const bytes = connection.buffered()
      if (bytes === 0) continue
      waitingBytes += bytes
      behind.push({ connection, bytes })
    }
    if (waitingBytes <= maxBytes) return
    behind.sort((a, b) => b.bytes - a.bytes)
    for (const { connection, bytes } of behind) {
      if (waitingBytes <= maxBytes * RELIEVED) return
      try {
        connection.cut()
      } catch (error) {
        onFault(error)
      }
      waitingBytes -= bytes
    }
  }

  return {
    grew: bytes => {
      waitingBytes += bytes
      if (waitingBytes <= maxBytes || isPlanned) return
      // Not in the turn of a write: it may be amid a room.
      isPlanned = true
      setImmediate(measure)
    },
    measure,
  }
}
