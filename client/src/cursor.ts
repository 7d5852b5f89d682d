import type { CursorStore } from './types.ts'

interface Storage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

const page = globalThis as { localStorage?: Storage }

/** Keeps the place in `localStorage`, so that a page continues after a reload. Use one key per user. */
export function localCursor(key: string): CursorStore {
  return {
    load: () => page.localStorage?.getItem(key),
    save: cursor => page.localStorage?.setItem(key, cursor),
  }
}

/** Tells whether a cursor is further on than a place in the log, or in another life of it. */
export function isAhead(cursor: string, place: string): boolean {
  const [epoch, seq] = cursor.split(':')
  const [placeEpoch, placeSeq] = place.split(':')
  return epoch !== placeEpoch || Number(seq) > Number(placeSeq)
}
