/** Decides how many entries to ask for at once, since Redis cannot bound a reply by its bytes. */
export interface ReadSize {
  readonly count: number
  /** Reports a reply. */
  note(entries: number, bytes: number): void
}

const MAX_COUNT = 128
const MAX_BYTES = 16_777_216

/** Begins with one entry and doubles while replies are small: one huge entry is read alone after a restart. */
export function createReadSize(): ReadSize {
  let count = 1
  return {
    get count() {
      return count
    },
    note: (entries, bytes) => {
      if (bytes > MAX_BYTES) count = Math.max(1, Math.floor(count / 4))
      else if (entries >= count && bytes * 2 <= MAX_BYTES) count = Math.min(MAX_COUNT, count * 2)
    },
  }
}
