const BYTES = 256 * 1024

/** ASCII texts of a page, decoded as one string: each string from bytes costs 0.3 µs, most of it to allocate it. */
export class JoinedTexts {
  readonly #buffer = Buffer.allocUnsafeSlow(BYTES)
  #used = 0
  readonly #ends: number[] = []
  /** Undefined for a text in the buffer. */
  #texts: (string | undefined)[] = []

  add(text: string): void {
    this.#texts.push(text)
  }

  addBytes(bytes: Buffer, start: number, end: number): void {
    const joinedEnd = this.#used + end - start
    if (joinedEnd > BYTES) {
      this.add(bytes.toString('latin1', start, end))
      return
    }
    bytes.copy(this.#buffer, this.#used, start, end)
    this.#used = joinedEnd
    this.#ends.push(joinedEnd)
    this.#texts.push(undefined)
  }

  /** Returns the texts in the order in which they were added, and starts anew. */
  take(): readonly string[] {
    const all = this.#buffer.toString('latin1', 0, this.#used)
    const ends = this.#ends
    let joined = 0
    let start = 0
    const texts = this.#texts.map(text => {
      if (text !== undefined) return text
      const end = ends[joined++]
      const part = all.slice(start, end)
      start = end ?? start
      return part
    })
    this.#used = 0
    this.#ends.length = 0
    this.#texts = []
    return texts
  }
}
