/** Connections of the whole node, of one tenant, and of one user of that tenant. */
interface Connections {
  readonly total: number
  readonly tenant: number
  readonly user: number
}

const KINDS = ['total', 'tenant', 'user'] as const

export type ConnectionLimitKind = (typeof KINDS)[number]

/** Which limit one more connection would break, 0 being none; undefined when it fits. Asked in the turn in which it is registered. */
export const overLimit = (most: Connections, open: Connections): ConnectionLimitKind | undefined =>
  KINDS.find(kind => most[kind] > 0 && open[kind] >= most[kind])
