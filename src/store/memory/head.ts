import type { Epoch } from '../../notification/cursor.ts'

/** What stays known of a log that holds no entry: for 30 days there are many. */
export class Head {
  readonly epoch: Epoch
  seq = 0
  received = 0
  removedThrough = 0
  lostThrough = 0
  /** When the last append was. */
  appendedAt = 0

  constructor(epoch: Epoch) {
    this.epoch = epoch
  }
}
