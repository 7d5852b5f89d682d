import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Cursor } from '../notification/cursor.ts'
import { userTopic } from '../notification/topic.ts'
import type { UserLog } from '../store/store.ts'

/** What clients have proved to have read, told to their logs. */
export interface Receipts {
  /** Everything up to `cursor` was read on this connection. */
  proved(connection: Connection, cursor: Cursor): void
  /** A connection knows where it starts, or has ended: receipts that waited for it may now count. */
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
  // While a device waits for its start, what another one reads must not move the place it starts from.
  const settle = ({ principal: { tenant, user } }: Connection): void => {
    const owner = userTopic(tenant, user)
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
