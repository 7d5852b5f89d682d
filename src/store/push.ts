/** An entry on its way to other nodes. */
export interface Push {
  /** Call that collects their answers. */
  readonly id: number
  /** Number of nodes, this one included if it has a connection of the owner. */
  readonly nodes: number
}
