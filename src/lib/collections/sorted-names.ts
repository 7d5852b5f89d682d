/** A part with more names is split; bounds the names that one change moves. */
const MAX_PART = 512

/** Finds the index of the name in a part, or its insertion index. */
function placeOf(part: readonly string[], name: string): number {
  let [low, high] = [0, part.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const each = part[middle]
    if (each !== undefined && each < name) low = middle + 1
    else high = middle
  }
  return low
}

/** A set of names in order (by UTF-16 units, like `<`). Changes and look-ups cost O(log n). */
export class SortedNames {
  /** Sorted; no part is empty. */
  readonly #parts: string[][] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The name must be absent. */
  add(name: string): void {
    this.#size++
    const at = Math.max(0, this.#partOf(name))
    const part = this.#parts[at]
    if (part === undefined) {
      this.#parts.push([name])
      return
    }
    part.splice(placeOf(part, name), 0, name)
    if (part.length > MAX_PART) this.#parts.splice(at + 1, 0, part.splice(MAX_PART / 2))
  }

  /** The name must be present. */
  delete(name: string): void {
    this.#size--
    const at = this.#partOf(name)
    const part = this.#parts[at]
    part?.splice(placeOf(part, name), 1)
    if (part?.length === 0) this.#parts.splice(at, 1)
  }

  /** Lists at most `limit` names after `name`; without `name` from the first one. */
  after(name: string | undefined, limit: number): readonly string[] {
    const found: string[] = []
    let at = name === undefined ? 0 : Math.max(0, this.#partOf(name))
    for (let part = this.#parts[at]; part !== undefined && found.length < limit; part = this.#parts[++at]) {
      const first = found.length > 0 || name === undefined ? 0 : placeOf(part, name)
      const from = part[first] === name ? first + 1 : first
      for (const each of part.slice(from, from + limit - found.length)) found.push(each)
    }
    return found
  }

  /** Finds the last part that begins with the name or before it; -1 if there is none. */
  #partOf(name: string): number {
    let [low, high] = [0, this.#parts.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const first = this.#parts[middle]?.[0]
      if (first !== undefined && first <= name) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
