interface ConnectionLimits {
  /** 0 = no limit. */
  readonly total: number
  /** 0 = no limit. */
  readonly perUser: number
}

/** Which limit one more connection would break; undefined when it fits. Asked in the turn in which it is registered. */
export function overLimit(
  { total, perUser }: ConnectionLimits,
  open: { readonly total: number; readonly user: number },
): 'total' | 'user' | undefined {
  if (total > 0 && open.total >= total) return 'total'
  return perUser > 0 && open.user >= perUser ? 'user' : undefined
}
