import { compact, endsOf, stringOf } from '../lib/json/text.ts'

/**
 * A compiled template: its text, and the places of variables in flat lists of numbers. One object per place
 * would take thirty times the memory of the text. The JSON reader bounds nesting.
 */
export interface CompiledTemplate {
  /** JSON text without white space between its tokens. */
  readonly text: string
  /** Whether a slice has as many bytes as characters. */
  readonly isAscii: boolean
  /** Names of the variables without repeats, in the order of the text. */
  readonly names: readonly string[]
  /** Places of variables in the order of the text, each of SLOT.size numbers. */
  readonly slots: Int32Array
  /** Keyed objects: those with a variable in a key. Each takes KEYED.size numbers, in text order. */
  readonly keyeds: Int32Array
  /** Members of these objects, each of MEMBER.size numbers; members of one object are adjacent. */
  readonly members: Int32Array
  /** Approximate size in memory. */
  readonly bytes: number
}

/** A place for the value of a variable. */
export const SLOT = {
  start: 0,
  end: 1,
  /** Twice the index of the name, plus one if the value replaces the whole string. */
  name: 2,
  size: 3,
} as const

export const KEYED = {
  start: 0,
  end: 1,
  firstMember: 2,
  memberCount: 3,
  /** The first slot and the first keyed object behind it. */
  slotAfter: 4,
  keyedAfter: 5,
  size: 6,
} as const

/** A key with its quotes, and the value behind its colon. */
export const MEMBER = {
  keyStart: 0,
  keyEnd: 1,
  valueEnd: 2,
  /** Rank of the key as written among the object's keys, by code points. */
  rank: 3,
  /** The first slot in the key. */
  keySlot: 4,
  /** The first slot and the first keyed object in the value. */
  valueSlot: 5,
  valueKeyed: 6,
  size: 7,
} as const

/** A key of an object and its value, by their places. */
interface Pair {
  readonly keyStart: number
  readonly keyEnd: number
  readonly valueEnd: number
  /** The decoded key. */
  readonly key: string
}

const PLACEHOLDER = /\{\{([^{}]{1,128})\}\}/gu
const WHOLE = /^\{\{\{([^{}]{1,128})\}\}\}$/u

/** Size of a name in memory, beside its characters. */
const NAME_BYTES = 64

/** JSON text index of each UTF-16 unit of a string, and of its closing quote. */
function placesOf(text: string): readonly number[] {
  const places: number[] = []
  for (let at = 1; at < text.length; at += text[at] !== '\\' ? 1 : text[at + 1] === 'u' ? 6 : 2)
    places.push(at)
  return places
}

/** Compiles a text without white space. */
class Compiler {
  readonly #text: string
  readonly #ends: Int32Array
  readonly #names = new Map<string, number>()
  readonly #slots: number[] = []
  readonly #keyeds: number[] = []
  readonly #members: number[] = []

  constructor(text: string) {
    this.#text = text
    this.#ends = endsOf(text)
  }

  run(): CompiledTemplate {
    const text = this.#text
    this.#value(0)
    const isAscii = Buffer.byteLength(text) === text.length
    const names = [...this.#names.keys()]
    const numbers = this.#slots.length + this.#keyeds.length + this.#members.length
    const characters = names.reduce((sum, name) => sum + name.length + NAME_BYTES, text.length)
    return {
      text,
      isAscii,
      names,
      slots: Int32Array.from(this.#slots),
      keyeds: Int32Array.from(this.#keyeds),
      members: Int32Array.from(this.#members),
      bytes: characters * (isAscii ? 1 : 2) + numbers * Int32Array.BYTES_PER_ELEMENT,
    }
  }

  /** The index after the value that begins at `start`. */
  #endOf(start: number): number {
    const first = this.#text[start]
    if (first === '"' || first === '{' || first === '[') return (this.#ends[start] ?? start) + 1
    let end = start
    while (end < this.#text.length && !',]}'.includes(this.#text[end] ?? '')) end++
    return end
  }

  #value(start: number): void {
    const end = this.#endOf(start)
    const first = this.#text[start]
    if (first === '{') this.#object(start, end)
    if (first === '[') this.#list(start, end)
    if (first !== '"') return
    const [, name] = WHOLE.exec(this.#stringAt(start, end)) ?? []
    if (name === undefined) this.#string(start, end)
    else this.#slot(start, end, name, 1)
  }

  #list(start: number, end: number): void {
    for (let at = start + 1; at < end - 1; at = this.#endOf(at) + 1) this.#value(at)
  }

  #object(start: number, end: number): void {
    const pairs = this.#pairs(start, end)
    if (pairs.some(({ key }) => key.search(PLACEHOLDER) >= 0)) this.#keyed(start, end, pairs)
    else for (const { keyEnd } of pairs) this.#value(keyEnd + 1)
  }

  #pairs(start: number, end: number): readonly Pair[] {
    const pairs: Pair[] = []
    for (let keyStart = start + 1; keyStart < end - 1; ) {
      const keyEnd = this.#endOf(keyStart)
      const valueEnd = this.#endOf(keyEnd + 1)
      pairs.push({ keyStart, keyEnd, valueEnd, key: this.#stringAt(keyStart, keyEnd) })
      keyStart = valueEnd + 1
    }
    return pairs
  }

  #keyed(start: number, end: number, pairs: readonly Pair[]): void {
    const at = this.#keyeds.length
    this.#keyeds.push(...Array<number>(KEYED.size).fill(0))
    const sorted = pairs.map(pair => ({ pair, bytes: Buffer.from(pair.key) }))
    sorted.sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    const ranks = new Map(sorted.map(({ pair }, rank) => [pair, rank]))
    const members: number[] = []
    for (const pair of pairs) {
      const { keyStart, keyEnd, valueEnd } = pair
      const keySlot = this.#slotCount()
      this.#string(keyStart, keyEnd)
      members.push(keyStart, keyEnd, valueEnd, ranks.get(pair) ?? 0, keySlot)
      members.push(this.#slotCount(), this.#keyedCount())
      this.#value(keyEnd + 1)
    }
    const firstMember = this.#members.length / MEMBER.size
    for (const each of members) this.#members.push(each)
    const entry = [start, end, firstMember, pairs.length, this.#slotCount(), this.#keyedCount()]
    for (const [n, each] of entry.entries()) this.#keyeds[at + n] = each
  }

  /** Finds placeholders in a string; the rest of it keeps its escapes. */
  #string(start: number, end: number): void {
    const text = this.#text.slice(start, end)
    const places = text.includes('\\') ? placesOf(text) : undefined
    const placeOf = (index: number) => start + (places?.[index] ?? index + 1)
    for (const { 0: all, 1: name = '', index } of stringOf(text).matchAll(PLACEHOLDER))
      this.#slot(placeOf(index), placeOf(index + all.length), name, 0)
  }

  #slot(start: number, end: number, name: string, isValue: 0 | 1): void {
    const index = this.#names.get(name) ?? this.#names.size
    this.#names.set(name, index)
    this.#slots.push(start, end, 2 * index + isValue)
  }

  #stringAt(start: number, end: number): string {
    return stringOf(this.#text.slice(start, end))
  }

  #slotCount(): number {
    return this.#slots.length / SLOT.size
  }

  #keyedCount(): number {
    return this.#keyeds.length / KEYED.size
  }
}

/** Compiles the JSON text of a template. */
export const compile = (text: string): CompiledTemplate => new Compiler(compact(text)).run()
