import { byCodePoints } from '../lib/code-points.ts'
import { JsonText, stringOf } from '../lib/json-text.ts'

/** JSON text that goes out as it stands. */
export interface Chunk {
  readonly text: string
  /** In UTF-8. */
  readonly bytes: number
}

/** A place for the value of a variable. */
export interface Slot {
  /** Which of the names. */
  readonly name: number
  /** Into a string as text, or in place of the string as the value itself. */
  readonly as: 'text' | 'value'
  /** What stays there when there is no such variable. */
  readonly written: Chunk
}

export interface Member {
  /** With its quotes. */
  readonly key: readonly (Chunk | Slot)[]
  readonly value: readonly Part[]
  /** Where the key as written comes among the keys of the object, by code points. */
  readonly rank: number
}

/** An object with a variable in one of its keys; all others are chunks and slots like the rest. */
export interface Keyed {
  readonly members: readonly Member[]
}

export type Part = Chunk | Slot | Keyed

/** A template taken apart. Nested no deeper than its text, which the reader of documents bounds. */
export interface Compiled {
  /** The variables it has places for, each once, in the order of their first places. */
  readonly names: readonly string[]
  readonly parts: readonly Part[]
}

const PLACEHOLDER = /\{\{([^{}]{1,128})\}\}/gu
const WHOLE = /^\{\{\{([^{}]{1,128})\}\}\}$/u

export const chunkOf = (text: string): Chunk => ({ text, bytes: Buffer.byteLength(text) })

/** Puts parts together; texts that follow each other become one, of one piece. */
interface Builder<T> {
  text(text: string): void
  part(part: T): void
  end(): readonly (Chunk | T)[]
}

function createBuilder<T>(): Builder<T> {
  const parts: (Chunk | T)[] = []
  const texts: string[] = []
  const flush = (): void => {
    if (texts.length > 0) parts.push(chunkOf(texts.join('')))
    texts.length = 0
  }
  return {
    text: text => void texts.push(text),
    part: part => {
      flush()
      parts.push(part)
    },
    end: () => {
      flush()
      return parts
    },
  }
}

/** Where each UTF-16 unit of a string stands in its JSON text, and where the closing quote. */
function placesOf(text: string): readonly number[] {
  const places: number[] = []
  for (let at = 1; at < text.length; at += text[at] !== '\\' ? 1 : text[at + 1] === 'u' ? 6 : 2)
    places.push(at)
  return places
}

/** A key of an object and its value. */
interface Pair {
  /** JSON text, and what it says. */
  readonly key: string
  readonly name: string
  readonly value: JsonText
}

function pairsOf(pieces: readonly JsonText[]): readonly Pair[] {
  return pieces.flatMap(({ text: key }, n) => {
    const value = pieces[n + 1]
    return n % 2 === 0 && value !== undefined ? [{ key, name: stringOf(key), value }] : []
  })
}

/** Takes a text apart; the names it meets are counted in `names`. */
function compileInto(names: Map<string, number>) {
  const slotOf = (name: string, as: Slot['as'], written: string): Slot => {
    const index = names.get(name) ?? names.size
    names.set(name, index)
    return { name: index, as, written: chunkOf(written) }
  }

  /** A string with its quotes; what is not replaced keeps its escapes. */
  const addString = (to: Pick<Builder<Slot>, 'text' | 'part'>, text: string): void => {
    const places = text.includes('\\') ? placesOf(text) : undefined
    const placeOf = (index: number) => places?.[index] ?? index + 1
    let start = 0
    for (const { 0: all, 1: name = '', index } of stringOf(text).matchAll(PLACEHOLDER)) {
      const [from, end] = [placeOf(index), placeOf(index + all.length)]
      if (from > start) to.text(text.slice(start, from))
      to.part(slotOf(name, 'text', text.slice(from, end)))
      start = end
    }
    to.text(text.slice(start))
  }

  const keyParts = (text: string): Member['key'] => {
    const builder = createBuilder<Slot>()
    addString(builder, text)
    return builder.end()
  }

  const valueParts = (value: JsonText): readonly Part[] => {
    const builder = createBuilder<Slot | Keyed>()
    addValue(builder, value)
    return builder.end()
  }

  const addValue = (to: Builder<Slot | Keyed>, value: JsonText): void => {
    const { text } = value
    if (text.startsWith('{')) addObject(to, pairsOf(value.pieces))
    else if (text.startsWith('[')) addList(to, value.pieces)
    else {
      const [, name] = text.startsWith('"') ? (WHOLE.exec(stringOf(text)) ?? []) : []
      if (name !== undefined) to.part(slotOf(name, 'value', text))
      else if (text.startsWith('"')) addString(to, text)
      else to.text(text)
    }
  }

  const addList = (to: Builder<Slot | Keyed>, elements: readonly JsonText[]): void => {
    to.text('[')
    for (const [n, element] of elements.entries()) {
      if (n > 0) to.text(',')
      addValue(to, element)
    }
    to.text(']')
  }

  const addObject = (to: Builder<Slot | Keyed>, pairs: readonly Pair[]): void => {
    if (pairs.some(({ name }) => name.search(PLACEHOLDER) >= 0)) {
      to.part(keyedOf(pairs))
      return
    }
    to.text('{')
    for (const [n, { key, value }] of pairs.entries()) {
      to.text(`${n > 0 ? ',' : ''}${key}:`)
      addValue(to, value)
    }
    to.text('}')
  }

  const keyedOf = (pairs: readonly Pair[]): Keyed => {
    const sorted = pairs.toSorted((a, b) => byCodePoints(a.name, b.name))
    const ranks = new Map(sorted.map((pair, rank) => [pair, rank]))
    const members = pairs.map(pair => {
      const key = keyParts(pair.key)
      return { key, value: valueParts(pair.value), rank: ranks.get(pair) ?? 0 }
    })
    return { members }
  }

  return valueParts
}

/** Takes the JSON text of a template apart, so that rendering it need not read it again. */
export function compile(text: string): Compiled {
  const names = new Map<string, number>()
  const parts = compileInto(names)(JsonText.of(text))
  return { names: [...names.keys()], parts }
}
