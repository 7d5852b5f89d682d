import type { Epoch } from '../../notification/cursor.ts'

/** State of a log that outlives its entries. Kept for 30 days, so there are many heads. */
export class Head {
  readonly epoch: Epoch
  seq = 0
  received = 0
  removedThrough = 0
  lostThrough = 0
  /** When the last append happened, on the steady clock. */
  appendedAt = 0

  constructor(epoch: Epoch) {
    this.epoch = epoch
  }
}
