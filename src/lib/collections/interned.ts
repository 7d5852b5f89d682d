interface Interned {
  readonly text: string
  holders: number
}

/** Numbers for texts that many hold at once. A text without holders is forgotten, and its number used again. */
export class InternedTexts {
  readonly #numbers = new Map<string, number>()
  readonly #texts: (Interned | undefined)[] = []
  readonly #free: number[] = []

  /** Adds a holder of the text. Returns its number. */
  hold(text: string): number {
    const known = this.#numbers.get(text)
    const interned = known === undefined ? undefined : this.#texts[known]
    if (known !== undefined && interned !== undefined) {
      interned.holders++
      return known
    }
    const number = this.#free.pop() ?? this.#texts.length
    this.#numbers.set(text, number)
    this.#texts[number] = { text, holders: 1 }
    return number
  }

  at(number: number): string | undefined {
    return this.#texts[number]?.text
  }

  /** Removes a holder. */
  release(number: number): void {
    const interned = this.#texts[number]
    if (interned === undefined || --interned.holders > 0) return
    this.#numbers.delete(interned.text)
    this.#texts[number] = undefined
    this.#free.push(number)
  }
}
