import {
  BLANK,
  BRACE_BIT,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  endOfString,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from './tokens.ts'
import { tryParse } from './try-parse.ts'

/** Shape that the scan knows: keys, the shapes below them, and values kept as text. */
export interface Shape {
  /** Known keys of an object at this place. Without backslash, dot or bracket paths are unambiguous. */
  readonly keys?: ReadonlyMap<string, Shape>
  /** Shape of the elements of an array at this place. */
  readonly items?: Shape
  /** Limits an array; with more elements its length is the fault. */
  readonly most?: number
  /** Keeps the text of this value; the scan reads only the depth inside it. */
  readonly raw?: boolean
}

/** Findings that `JSON.parse` hides, by path: `event.payload`, `notifications[3].ttl`, `''` for the document. */
interface Findings {
  /**
   * Raw values as they were sent: digits, key order, escapes. Line breaks are blanks, so each fits on one
   * line. They are slices, which keep the whole document in memory: copy what outlives the request.
   */
  readonly raw: ReadonlyMap<string, string>
  /** Known keys that one object repeats, escaped or not. The last value counts, as in `JSON.parse`. */
  readonly repeated: readonly string[]
}

/** `ok` is false for a text nested too deep. Findings are meaningless if the text is not JSON. */
export type Scan = (Findings & { readonly ok: true }) | { readonly ok: false }

export type ParseResult =
  | (Findings & { readonly ok: true; readonly value: unknown })
  | { readonly ok: false; readonly fault: 'syntax' | 'depth' }

/** State of a scan. A place at or past the end of the text ends every loop. */
interface Scanner {
  readonly text: string
  readonly maxDepth: number
  /** Keys and indexes that lead to the place; joined only for findings. */
  readonly steps: (string | number)[]
  readonly hits: { readonly path: string; readonly text: string }[]
  /** Repeated keys, each with the number of hits before its last value; undefined until the first. */
  repeats: Map<string, number> | undefined
  at: number
  depth: number
  tooDeep: boolean
  /** True after tabs or line breaks between skipped tokens: only then a raw text can hold any. */
  hasControls: boolean
}

const NONE: readonly string[] = []

function pathOf(steps: readonly (string | number)[]): string {
  const [first] = steps
  // The known key itself: a copy would be hashed again wherever it is looked up.
  if (steps.length === 1 && typeof first === 'string') return first
  let path = ''
  for (const step of steps)
    if (typeof step === 'number') path += `[${step}]`
    else path += path === '' ? step : `.${step}`
  return path
}

function stop(scan: Scanner): void {
  scan.at = scan.text.length
}

function stopTooDeep(scan: Scanner): void {
  scan.tooDeep = true
  stop(scan)
}

/**
 * Returns the code of the next character that is not white space; NaN at the end. Control characters pass as
 * white space: `JSON.parse` rejects the invalid ones.
 */
function peek(scan: Scanner): number {
  while (scan.text.charCodeAt(scan.at) <= BLANK) scan.at++
  return scan.text.charCodeAt(scan.at)
}

/** Skips this character if it is the next one. */
function take(scan: Scanner, code: number): boolean {
  if (peek(scan) !== code) return false
  scan.at++
  return true
}

function open(scan: Scanner): void {
  scan.at++
  if (++scan.depth > scan.maxDepth) stopTooDeep(scan)
}

function close(scan: Scanner, code: number): void {
  if (take(scan, code)) scan.depth--
}

/** Skips to the comma or bracket after a value. Loops instead of recursing: senders choose the depth. */
function skip(scan: Scanner): void {
  const { text, maxDepth, depth: outside } = scan
  let { at, depth } = scan
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at + 1)
    else if (code === COMMA) {
      if (depth === outside) break
    } else if ((code | BRACE_BIT) === OPEN_BRACE) {
      if (++depth > maxDepth) break
    } else if ((code | BRACE_BIT) === CLOSE_BRACE) {
      if (--depth < outside) break
    } else if (code < BLANK) scan.hasControls = true
  }
  scan.at = at
  if (depth > maxDepth) stopTooDeep(scan)
}

function keep(scan: Scanner): void {
  const start = scan.at
  skip(scan)
  let end = scan.at
  while (scan.text.charCodeAt(end - 1) <= BLANK) end--
  const text = scan.text.slice(start, end)
  scan.hits.push({ path: pathOf(scan.steps), text: scan.hasControls ? text.replace(/[\r\n]/g, ' ') : text })
}

/** Reads the key at this place, if it may be a known one. Copies it only to resolve escapes. */
function knownKey(scan: Scanner, start: number, end: number, keys: ReadonlyMap<string, Shape>) {
  const { text } = scan
  for (const key of keys.keys()) if (key.length === end - start && text.startsWith(key, start)) return key
  if (!text.slice(start, end).includes('\\')) return undefined
  const parsed = tryParse(text.slice(start - 1, end + 1))
  // An exception costs a microsecond: stop at the first one, since the text is not JSON.
  if (parsed === undefined) stop(scan)
  return typeof parsed?.value === 'string' ? parsed.value : undefined
}

function scanChild(scan: Scanner, step: string | number, shape: Shape): void {
  scan.steps.push(step)
  scanValue(scan, shape)
  scan.steps.pop()
}

function scanObject(scan: Scanner, keys: ReadonlyMap<string, Shape>): void {
  const seen: string[] = []
  open(scan)
  while (take(scan, QUOTE)) {
    const start = scan.at
    scan.at = endOfString(scan.text, start) + 1
    const key = knownKey(scan, start, scan.at - 1, keys)
    if (!take(scan, COLON)) break
    const shape = key === undefined ? undefined : keys.get(key)
    if (key === undefined || shape === undefined) skip(scan)
    else {
      if (!seen.includes(key)) seen.push(key)
      else {
        scan.repeats ??= new Map()
        scan.repeats.set(pathOf([...scan.steps, key]), scan.hits.length)
      }
      scanChild(scan, key, shape)
    }
    if (!take(scan, COMMA)) break
  }
  close(scan, CLOSE_BRACE)
}

function scanArray(scan: Scanner, items: Shape): void {
  open(scan)
  for (let index = 0; peek(scan) !== CLOSE_BRACKET; index++) {
    scanChild(scan, index, items)
    if (!take(scan, COMMA)) break
  }
  close(scan, CLOSE_BRACKET)
}

/** Recurses only into known places, never deeper than `maxDepth`. */
function scanValue(scan: Scanner, shape: Shape): void {
  const code = peek(scan)
  if (shape.raw) keep(scan)
  else if (code === OPEN_BRACE && shape.keys !== undefined) scanObject(scan, shape.keys)
  else if (code === OPEN_BRACKET && shape.items !== undefined) scanArray(scan, shape.items)
  else skip(scan)
}

/** Tells whether a hit lies in an overridden value of a repeated key. */
function isReplaced(path: string, index: number, repeats: ReadonlyMap<string, number>): boolean {
  let end = path.length
  while (end > 0) {
    if (index < (repeats.get(path.slice(0, end)) ?? 0)) return true
    end = Math.max(path.lastIndexOf('.', end - 1), path.lastIndexOf('[', end - 1))
  }
  return false
}

function rawOf({ hits, repeats }: Scanner): ReadonlyMap<string, string> {
  const raw = new Map<string, string>()
  let index = 0
  for (const { path, text } of hits)
    if (repeats === undefined || !isReplaced(path, index++, repeats)) raw.set(path, text)
  return raw
}

/**
 * Passes once over the text of a document for facts that `JSON.parse` hides: how deep it is nested
 * (`JSON.parse` takes 200,000 levels, on which `JSON.stringify` overflows the stack), which known keys it
 * repeats, and the values whose text matters. The outermost object or array is level 1. It validates nothing,
 * and ends in linear time on any text.
 */
export function scanJson(text: string, shape: Shape, maxDepth: number): Scan {
  const scan: Scanner = {
    text,
    maxDepth,
    steps: [],
    hits: [],
    repeats: undefined,
    at: 0,
    depth: 0,
    tooDeep: false,
    hasControls: false,
  }
  scanValue(scan, shape)
  if (scan.tooDeep) return { ok: false }
  return {
    ok: true,
    raw: rawOf(scan),
    repeated: scan.repeats === undefined ? NONE : [...scan.repeats.keys()],
  }
}

/** Scans and then parses: returns the value with the findings, or the fault. */
export function parseJson(text: string, shape: Shape, maxDepth: number): ParseResult {
  const scan = scanJson(text, shape, maxDepth)
  if (!scan.ok) return { ok: false, fault: 'depth' }
  const parsed = tryParse(text)
  if (parsed === undefined) return { ok: false, fault: 'syntax' }
  const { raw, repeated } = scan
  return { ok: true, value: parsed.value, raw, repeated }
}
