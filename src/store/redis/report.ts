import { StoreAway } from '../../errors.ts'

/** Tells a fault of our own that no caller waits for. A store that is away is told elsewhere. */
export type Report = (error: unknown) => void

export const createReport =
  (onFault: (error: unknown) => void): Report =>
  error => {
    if (!(error instanceof StoreAway)) onFault(error)
  }
