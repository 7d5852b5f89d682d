import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Cursor } from '../notification/cursor.ts'
import type { UserLog } from '../store/store.ts'

/** Records in each user's log what a client has provably read. */
export interface Receipts {
  /** The client has read everything up to `cursor` on this connection. */
  proved(connection: Connection, cursor: Cursor): void
  /** Applies waiting receipts; call when a connection has its start or has ended. */
  settle(owner: Connection): void
}

const isNewer = (cursor: Cursor, than: Cursor | undefined): boolean =>
  than === undefined || cursor.epoch !== than.epoch || cursor.seq > than.seq

export function createReceipts({
  hub,
  log,
}: {
  readonly hub: Hub
  readonly log: Pick<UserLog, 'received'>
}): Receipts {
  // A receipt must not move the start of another device that waits for it.
  const settle = ({ owner }: Connection): void => {
    const devices = hub.members(owner)
    for (const device of devices) if (device.phase === 'starting') return
    for (const device of devices) {
      if (device.confirmed !== undefined) log.received(owner, device.confirmed)
      device.confirmed = undefined
    }
  }

  return {
    proved: (connection, cursor) => {
      if (!isNewer(cursor, connection.confirmed)) return
      connection.confirmed = cursor
      settle(connection)
    },
    settle,
  }
}
