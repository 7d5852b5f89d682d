/** Which keys of a document matter: their names, what is below them, which values are kept as their text. */
export interface Shape {
  /** The known keys of an object at this place, and what is below each. */
  readonly keys?: ReadonlyMap<string, Shape>
  /** What the elements of an array at this place look like. */
  readonly items?: Shape
  /** Keep this value's text; nothing inside it is looked at but its depth. */
  readonly raw?: boolean
}

/**
 * What the text of a document says that `JSON.parse` does not tell. Paths read `payload`, `event.payload`,
 * `notifications[3].payload`; the whole document is `''`. Of a text that is not JSON only `ok` means something:
 * its nesting up to where it stops being JSON.
 */
export type Scan =
  | {
      readonly ok: true
      /**
       * The text of each raw value by its path, as it was sent, so that digits, key order and escapes survive.
       * A line break, which between tokens is only white space, is a blank: the text stands on one line.
       */
      readonly raw: ReadonlyMap<string, string>
      /** Paths of the known keys that one object has twice or more. The last value counts, as in `JSON.parse`. */
      readonly repeated: readonly string[]
    }
  | { readonly ok: false }

export type Parsed =
  | (Extract<Scan, { readonly ok: true }> & { readonly value: unknown })
  | { readonly ok: false; readonly fault: 'syntax' | 'depth' }

interface Hit {
  readonly path: string
  readonly text: string
}

/** Where a scan stands and what it has found. Every loop ends at the end of the text, so moving there stops it. */
interface Scanner {
  readonly text: string
  readonly maxDepth: number
  /** Keys and indexes of the known containers around the place; joined to a path only where one is needed. */
  readonly steps: (string | number)[]
  readonly hits: Hit[]
  /** Path of each repeated key → how many hits came before its last value, those of its earlier values among them. */
  readonly repeats: Map<string, number>
  at: number
  depth: number
  tooDeep: boolean
}

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BLANK = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Boxed, so that a parsed `undefined` cannot be mistaken for a fault. */
function tryParse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function stop(s: Scanner): void {
  s.at = s.text.length
}

/** Enters an object or array. */
function open(s: Scanner): void {
  s.at++
  if (++s.depth <= s.maxDepth) return
  s.tooDeep = true
  stop(s)
}

/** The code of the next character that is not white space; NaN at the end. */
function next(s: Scanner): number {
  for (;;) {
    const code = s.text.charCodeAt(s.at)
    if (code !== BLANK && code !== LINE_FEED && code !== CARRIAGE_RETURN && code !== TAB) return code
    s.at++
  }
}

/** Takes the next character if it is this one. */
function take(s: Scanner, code: number): boolean {
  if (next(s) !== code) return false
  s.at++
  return true
}

/** Leaves an object or array. */
function close(s: Scanner, bracket: number): void {
  if (take(s, bracket)) s.depth--
  else stop(s)
}

/** Where the string ends that begins before `from`: its closing quote, or the end of the text. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let run = at
    // Ends at the opening quote at the latest; runs do not overlap, so all of them together are linear.
    while (text.charCodeAt(run - 1) === BACKSLASH) run--
    if ((at - run) % 2 === 0) return at
  }
  return text.length
}

/** Passes one value, up to the comma or bracket after it. Not recursive: nobody has bounded its depth yet. */
function skip(s: Scanner): void {
  const { text, maxDepth } = s
  let { at, depth } = s
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at + 1)
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > maxDepth) {
        s.tooDeep = true
        stop(s)
        return
      }
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      if (depth-- === s.depth) break
    } else if (code === COMMA && depth === s.depth) break
  }
  s.at = at
}

function pathOf(steps: readonly (string | number)[]): string {
  let path = ''
  for (const step of steps) path += typeof step === 'number' ? `[${step}]` : path === '' ? step : `.${step}`
  return path
}

function keep(s: Scanner): void {
  const start = s.at
  skip(s)
  const text = s.text.slice(start, s.at).trimEnd()
  s.hits.push({ path: pathOf(s.steps), text: text.replace(/[\r\n]/g, ' ') })
}

/** The key that ends at the next quote; undefined when there is none. */
function key(s: Scanner): string | undefined {
  if (!take(s, QUOTE)) return undefined
  const start = s.at
  const end = endOfString(s.text, start)
  s.at = end + 1
  if (!take(s, COLON)) return undefined
  const k = s.text.slice(start, end)
  if (!k.includes('\\')) return k
  const parsed = tryParse(`"${k}"`)?.value
  return typeof parsed === 'string' ? parsed : undefined
}

function object(s: Scanner, keys: ReadonlyMap<string, Shape>): void {
  open(s)
  const seen: string[] = []
  do {
    const k = key(s)
    if (k === undefined) break
    const shape = keys.get(k)
    if (shape === undefined) skip(s)
    else {
      s.steps.push(k)
      if (seen.includes(k)) s.repeats.set(pathOf(s.steps), s.hits.length)
      else seen.push(k)
      value(s, shape)
      s.steps.pop()
    }
  } while (take(s, COMMA))
  close(s, CLOSE_BRACE)
}

function array(s: Scanner, items: Shape): void {
  open(s)
  if (take(s, CLOSE_BRACKET)) {
    s.depth--
    return
  }
  let index = 0
  do {
    s.steps.push(index++)
    value(s, items)
    s.steps.pop()
  } while (take(s, COMMA))
  close(s, CLOSE_BRACKET)
}

function value(s: Scanner, shape: Shape): void {
  const code = next(s)
  if (shape.raw) keep(s)
  else if (code === OPEN_BRACE && shape.keys !== undefined) object(s, shape.keys)
  else if (code === OPEN_BRACKET && shape.items !== undefined) array(s, shape.items)
  else skip(s)
}

export function scanJson(text: string, shape: Shape, maxDepth: number): Scan {
  const s: Scanner = {
    text,
    maxDepth,
    steps: [],
    hits: [],
    repeats: new Map(),
    at: 0,
    depth: 0,
    tooDeep: false,
  }
  value(s, shape)
  if (s.tooDeep) return { ok: false }
  return { ok: true, raw: new Map(s.hits.map(h => [h.path, h.text])), repeated: [...s.repeats.keys()] }
}
export function parseJson(text: string, shape: Shape, maxDepth: number): Parsed {
  const scan = scanJson(text, shape, maxDepth)
  if (!scan.ok) return { ok: false, fault: 'depth' }
  const parsed = tryParse(text)
  return parsed === undefined ? { ok: false, fault: 'syntax' } : { ...scan, ...parsed }
}
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    const t = decoder.decode(bytes)
    return t.charCodeAt(0) === 0xfeff ? undefined : t
  } catch {
    return undefined
  }
}
