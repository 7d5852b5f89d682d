import type { Draft } from '../store.ts'
import { type Sharers, type StoredBody, storedBodyOf } from './bodies.ts'

/** Bounds of one group. */
export const MAX_DRAFTS = 200
const MAX_BYTES = 512 * 1024
const OVERHEAD = 500

/** A draft, its index in the call, and its body as the log stores it. */
export interface PlacedDraft {
  readonly draft: Draft
  readonly place: number
  readonly body: StoredBody
}

export const placeDraft = (draft: Draft, place: number, sharers: Sharers): PlacedDraft => ({
  draft,
  place,
  body: storedBodyOf(draft, sharers),
})

/** Splits drafts into groups of bounded size. */
export function* groupsOf(drafts: readonly Draft[], sharers: Sharers): Generator<readonly PlacedDraft[]> {
  let group: PlacedDraft[] = []
  let bytes = 0
  for (const [place, draft] of drafts.entries()) {
    const placed = placeDraft(draft, place, sharers)
    const { length } = placed.body.text
    if (group.length > 0 && (group.length >= MAX_DRAFTS || bytes + length > MAX_BYTES)) {
      yield group
      group = []
      bytes = 0
    }
    group.push(placed)
    bytes += length
  }
  if (group.length > 0) yield group
}

/** Approximate bytes on the wire. */
export const weightOf = (group: readonly PlacedDraft[]): number =>
  group.reduce((sum, { body }) => sum + OVERHEAD + body.text.length, 0)
