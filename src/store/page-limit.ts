/** Bounds of one page: it ends at the first bound reached. It holds at least one item if there is any. */
export interface PageLimit {
  readonly entries: number
  /** Characters in the bodies of entries or the payloads of templates. The store in memory counts UTF-8 bytes of bodies. */
  readonly bytes: number
}
