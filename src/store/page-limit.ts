/** A page ends at whichever is reached first; it holds at least one entry when there is one. */
export interface PageLimit {
  readonly entries: number
  /** Of the bodies of entries or the payloads of templates, in characters. */
  readonly bytes: number
}
