import * as v from 'valibot'
import { parseRedisUrl, REDIS_URL_RULES } from './redis/url.ts'
import { type AddressRange, parseRange } from './system/address.ts'

/** Reads one setting from its text; its metadata `expected` describes the accepted values. */
export type Reader = v.GenericSchema<string, unknown>

/** Stands for no upper bound: the largest safe integer. */
export const UNBOUNDED = Number.MAX_SAFE_INTEGER

export const text = v.string()

/** Rejects a trailing line break, which files often add: two sides would silently use different secrets. */
export const trimmed = v.pipe(
  text,
  v.check(line => line === line.trim()),
  v.metadata({ expected: 'a text without blanks or line breaks around it' }),
)

export const whole = (min: number, max: number, unit = 'a whole number') =>
  v.pipe(
    text,
    v.regex(/^\d{1,15}$/),
    v.transform(Number),
    v.minValue(min),
    v.maxValue(max),
    v.metadata({ expected: `${unit} from ${min}${max === UNBOUNDED ? '' : ` to ${max}`}` }),
  )

/** Reads a decimal number, with or without exponent. */
export const decimal = v.pipe(
  text,
  v.regex(/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?$/i),
  v.transform(Number),
  v.metadata({ expected: 'a number' }),
)

export const seconds = (min: number, max: number) => whole(min, max, 'whole seconds')

const YES = ['true', '1', 'yes', 'on']

export const boolean = v.pipe(
  text,
  v.toLowerCase(),
  v.picklist([...YES, 'false', '0', 'no', 'off']),
  v.transform(word => YES.includes(word)),
  v.metadata({ expected: 'true or false' }),
)

export const matching = (pattern: RegExp, expected: string) =>
  v.pipe(text, v.regex(pattern), v.metadata({ expected }))

/** Reads one of the words, in any case. */
export const oneOf = <const W extends readonly string[]>(words: W) =>
  v.pipe(
    text,
    v.toLowerCase(),
    v.picklist(words),
    v.metadata({ expected: `${words.length === 1 ? '' : 'one of '}${words.join(', ')}` }),
  )

/** Splits a comma-separated text, trims the items and drops empty ones. */
export const itemsOf = (line: string): readonly string[] =>
  line
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')

export const list = v.pipe(
  text,
  v.transform(itemsOf),
  v.metadata({ expected: 'a list, separated by commas' }),
)

/** Reads a list with at least one item; removes duplicates. */
export const names = v.pipe(
  list,
  v.minLength(1),
  v.transform(items => [...new Set(items)]),
  v.metadata({ expected: 'a list of at least one, separated by commas' }),
)

/** Reads a list of at least one of the words, spelt exactly. */
export const someOf = (words: readonly string[]) =>
  v.pipe(
    list,
    v.check(items => items.length > 0 && items.every(item => words.includes(item))),
    v.metadata({ expected: `a list of ${words.join(', ')}` }),
  )

/** Reads an origin as browsers send it (RFC 6454 §6.2), including app schemes such as `capacitor://localhost`. */
function isOrigin(item: string): boolean {
  if (item === '*' || item === 'null') return true
  if (item.includes('*')) return false
  const url = URL.parse(item)
  return url !== null && url.host !== '' && item === `${url.protocol}//${url.host}`
}

export const origins = v.pipe(
  list,
  v.check(items => items.every(isOrigin)),
  v.metadata({
    expected: 'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  }),
)

export const addressRanges = v.pipe(
  list,
  v.check(items => items.every(item => parseRange(item) !== undefined)),
  v.transform((items): readonly AddressRange[] => items.flatMap(item => parseRange(item) ?? [])),
  v.metadata({ expected: 'a list of addresses and networks such as 10.0.0.0/8' }),
)

export const httpUrl = v.pipe(
  text,
  v.check(line => /^https?:$/.test(URL.parse(line)?.protocol ?? '')),
  v.metadata({ expected: 'an http or https URL' }),
)

/** Reads the address of a Redis; empty text means none. */
export const redisUrl = v.pipe(
  text,
  v.check(line => line === '' || parseRedisUrl(line) !== undefined),
  v.transform(parseRedisUrl),
  v.metadata({
    expected: `redis://host:port/db, rediss://host:port/db, redis+sentinel://host:port,host:port/master/db or empty (${REDIS_URL_RULES})`,
  }),
)

/** Describes the values that a reader accepts. */
export function expectedBy(reader: Reader): string {
  const metadata: { readonly expected?: string } = v.getMetadata(reader)
  return metadata.expected ?? 'text'
}
