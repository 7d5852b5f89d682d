import { StoreAway } from '../../errors.ts'

/** Reports a fault of our own code that no caller waits for. Ignores StoreAway, which is reported elsewhere. */
export type ReportFault = (error: unknown) => void

export const createFaultReporter =
  (onFault: (error: unknown) => void): ReportFault =>
  error => {
    if (!(error instanceof StoreAway)) onFault(error)
  }
