/** UUIDs that share their first 32 bits, which are random. The other 90 random bits tell them apart. */
const RUN = 64

/**
 * Makes UUIDs v4 (RFC 9562 §5.4). A run of them are neighbours in an ordered index: SQLite writes one page of the index
 * for a batch of new entries, and not one page for each entry.
 */
export function createUuids(): () => string {
  let first = ''
  let left = 0
  return () => {
    const uuid = crypto.randomUUID()
    if (left > 0) {
      left--
      return first + uuid.slice(8)
    }
    left = RUN - 1
    first = uuid.slice(0, 8)
    return uuid
  }
}
