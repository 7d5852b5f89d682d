import type { Cursor } from '../notification/cursor.ts'

/** A pong's proof: the client has read everything up to the cursor. */
interface Proof {
  readonly cursor: Cursor
  /** Time of the first write that it proves, monotonic milliseconds; undefined without one. */
  readonly handedAt: number | undefined
}

/** A ping that was not answered yet. */
interface Ping extends Proof {
  readonly payload: string
}

/** Unanswered pings, oldest first. */
export type Pings = readonly Ping[]

/** Number of unanswered pings to remember; older ones are forgotten. */
const MAX_PINGS = 16

export const NO_PINGS: Pings = []

export const withPing = (pings: Pings, ping: Ping): Pings => [...pings, ping].slice(-MAX_PINGS)

/** Matches a pong; undefined for an unsolicited one. A pong for a later ping settles the earlier ones. */
export function settlePings(
  pings: Pings,
  payload: string,
): { readonly proof: Proof; readonly open: Pings } | undefined {
  const at = pings.findLastIndex(ping => ping.payload === payload)
  const cursor = pings[at]?.cursor
  if (cursor === undefined) return undefined
  const settled = pings.slice(0, at + 1)
  return {
    proof: { cursor, handedAt: settled.find(({ handedAt }) => handedAt !== undefined)?.handedAt },
    open: at + 1 === pings.length ? NO_PINGS : pings.slice(at + 1),
  }
}
