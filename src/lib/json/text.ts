import { BLANK, BRACE_BIT, CLOSE_BRACE, COLON, COMMA, endOfString, OPEN_BRACE, QUOTE } from './tokens.ts'

// All functions expect text that `JSON.parse` accepts; they validate nothing.

const INDEX = /^(?:0|[1-9]\d*)$/

/** Decodes a JSON string. */
export const stringOf = (text: string): string => (text.includes('\\') ? JSON.parse(text) : text.slice(1, -1))

/** Removes white space between tokens. */
export function compact(text: string): string {
  let out = ''
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at + 1)
    else if (code <= BLANK) {
      if (at > start) out += text.slice(start, at)
      start = at + 1
    }
  }
  return start === 0 ? text : out + text.slice(start)
}

/** Text with the end of each string, list and object by its start. */
interface Source {
  readonly text: string
  readonly ends: Int32Array
}

/**
 * Finds the end of each string, list and object by its start, in one pass. Later reads need not skip character by
 * character, however deep the text is nested.
 */
export function endsOf(text: string): Int32Array {
  const ends = new Int32Array(text.length)
  const open: number[] = []
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const end = endOfString(text, at + 1)
      ends[at] = end
      at = end
    } else if ((code | BRACE_BIT) === OPEN_BRACE) open.push(at)
    else if ((code | BRACE_BIT) === CLOSE_BRACE) ends[open.pop() ?? 0] = at
  }
  return ends
}

/** Value of a JSON text; splits itself on the first access and only at that place. */
export class JsonText {
  readonly #source: Source
  readonly #start: number
  readonly #end: number
  /** Start and end of each piece: elements of a list, or keys and values of an object in turn. */
  #places: readonly number[] | undefined
  /** Key → index of the piece with its value. */
  #members: ReadonlyMap<string, number> | undefined
  readonly #known = new Map<number, JsonText>()

  private constructor(source: Source, start: number, end: number) {
    this.#source = source
    this.#start = start
    this.#end = end
  }

  static of(text: string): JsonText {
    return new JsonText({ text, ends: endsOf(text) }, 0, text.length)
  }

  get text(): string {
    return this.#source.text.slice(this.#start, this.#end)
  }

  /** Elements of a list, or each key of an object and its value in turn. */
  get pieces(): readonly JsonText[] {
    this.#places ??= this.#split()
    return Array.from({ length: this.#places.length / 2 }, (_, index) => this.#piece(index))
  }

  /** Finds the value by key of an object or decimal index of a list. */
  get(key: string): JsonText | undefined {
    const first = this.#source.text[this.#start]
    if (first !== '{' && first !== '[') return undefined
    this.#places ??= this.#split()
    const index =
      first === '{' ? this.#memberAt(this.#places, key) : INDEX.test(key) ? Number(key) : undefined
    if (index === undefined || 2 * index >= this.#places.length) return undefined
    const found = this.#known.get(index) ?? this.#piece(index)
    this.#known.set(index, found)
    return found
  }

  #piece(index: number): JsonText {
    const [start = 0, end = 0] = [this.#places?.[2 * index], this.#places?.[2 * index + 1]]
    return new JsonText(this.#source, start, end)
  }

  /** Keeps the last value of a repeated key, as `JSON.parse` does. */
  #memberAt(places: readonly number[], key: string): number | undefined {
    if (this.#members === undefined) {
      const members = new Map<string, number>()
      for (let n = 0; n < places.length; n += 4)
        members.set(stringOf(this.#source.text.slice(places[n], places[n + 1])), n / 2 + 1)
      this.#members = members
    }
    return this.#members.get(key)
  }

  #split(): readonly number[] {
    const { text, ends } = this.#source
    const places: number[] = []
    const add = (from: number, to: number): void => {
      let [start, end] = [from, to]
      while (start < end && text.charCodeAt(start) <= BLANK) start++
      while (start < end && text.charCodeAt(end - 1) <= BLANK) end--
      if (start < end) places.push(start, end)
    }
    let start = this.#start + 1
    for (let at = start; at < this.#end - 1; at++) {
      const code = text.charCodeAt(at)
      if (code === QUOTE || (code | BRACE_BIT) === OPEN_BRACE) at = ends[at] ?? text.length
      else if (code === COMMA || code === COLON) {
        add(start, at)
        start = at + 1
      }
    }
    add(start, this.#end - 1)
    return places
  }
}
