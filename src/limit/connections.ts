/** Numbers of connections: of the node, a tenant, and a user of that tenant. */
interface Connections {
  readonly total: number
  readonly tenant: number
  readonly user: number
}

const KINDS = ['total', 'tenant', 'user'] as const

export type ConnectionLimitKind = (typeof KINDS)[number]

/** The limit that one more connection exceeds; 0 = no limit. Ask in the turn that registers it. */
export const overLimit = (most: Connections, open: Connections): ConnectionLimitKind | undefined =>
  KINDS.find(kind => most[kind] > 0 && open[kind] >= most[kind])
