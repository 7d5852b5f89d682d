import { StoreAway } from '../../errors.ts'

/** Reports a fault of our own code that no caller waits for. Ignores StoreAway, which is reported elsewhere. */
export type Report = (error: unknown) => void

export const createReport =
  (onFault: (error: unknown) => void): Report =>
  error => {
    if (!(error instanceof StoreAway)) onFault(error)
  }
