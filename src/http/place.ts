import type { Links } from '../bus/links/links.ts'
import type { Snapshot } from '../observe/exposition.ts'
import type { Fleet } from '../observe/fleet.ts'
import type { InheritedSockets } from './listeners.ts'

/** The place of this process beside others that share its port. */
export interface Place {
  readonly fleet: Fleet
  readonly sockets: InheritedSockets
  /** Sockets to the others; absent if they cannot be made. */
  readonly links: Links | undefined
  /** Resolves when the service may listen: others serve until then. */
  untilReady(isReady: () => boolean): Promise<void>
  /** False while this process takes the place of one that still ends: both have one name for Redis streams. */
  isAlone(): boolean
  /** Receives the last metrics, when all requests are answered. */
  beforeClose(metrics: Snapshot): Promise<void>
}
