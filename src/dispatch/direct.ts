import type { Delivery } from './delivery.ts'

/** Delivery without a log: every connection is live at once. */
export const directDelivery: Pick<Delivery, 'start' | 'replay' | 'ended'> = {
  start: (connection, { cursor }) => {
    connection.phase = 'live'
    const recovered = cursor === undefined || cursor === ''
    return {
      position: 0,
      cursor: undefined,
      replayed: 0,
      recovered,
      ...(!recovered && { reason: 'epoch_changed' }),
    }
  },
  replay: () => {},
  ended: () => {},
}
