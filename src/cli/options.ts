import { editsBetween } from '../lib/edits.ts'

/** Wrong arguments: exit code 2. The message tells what was expected. */
export class UsageError extends Error {}

export interface Option {
  /** Name of its value in the help; a flag without one. */
  readonly value?: string
  readonly help: string
}

export interface Command {
  readonly summary: string
  /** Name of its one argument; none without it. */
  readonly argument?: string
  readonly options: Readonly<Record<string, Option>>
  readonly example?: string
}

/** Arguments of a command: a text for an option with a value, true for a flag. */
export interface Arguments {
  readonly text: (option: string) => string | undefined
  readonly flag: (option: string) => boolean
  readonly argument: string | undefined
}

/** Edits up to which a name counts as mistyped. */
const NEAR = 2

/** The name that was probably meant. */
export function nearestOf(given: string, known: readonly string[]): string | undefined {
  const [nearest] = known
    .map(name => ({ name, edits: editsBetween(given, name) }))
    .filter(({ name, edits }) => edits <= NEAR && edits < name.length / 2)
    .sort((a, b) => a.edits - b.edits)
  return nearest?.name
}

/** `--name` of `--name=value`. */
const syntaxOf = (arg: string): string => (arg === '-h' ? '--help' : arg.replace(/=.*/s, ''))

const joinedValueOf = (arg: string): string | undefined =>
  arg.includes('=') ? arg.slice(arg.indexOf('=') + 1) : undefined

interface Parsed {
  readonly values: ReadonlyMap<string, string | true>
  readonly positionals: readonly string[]
}

/** Parses `--name value`, `--name=value` and flags. A value may begin with `-`: numbers and cursors do. */
function parse(args: readonly string[], options: Command['options']): Parsed {
  const known = new Map(Object.entries(options).map(([name, option]) => [`--${name}`, option]))
  const values = new Map<string, string | true>()
  const positionals: string[] = []
  const rest = [...args]

  const optionOf = (syntax: string): Option => {
    const option = known.get(syntax)
    if (option !== undefined) return option
    const near = nearestOf(syntax, [...known.keys()])
    throw new UsageError(`unknown option ${syntax}${near === undefined ? '' : `: did you mean ${near}?`}`)
  }

  /** Value of an option, which may be the next argument. */
  const textOf = (syntax: string, { value }: Option, joined: string | undefined): string | true => {
    if (value === undefined && joined !== undefined) throw new UsageError(`${syntax}: expected no value`)
    if (value === undefined) return true
    const text = joined ?? (known.has(syntaxOf(rest[0] ?? '')) ? undefined : rest.shift())
    if (text === undefined) throw new UsageError(`${syntax}: expected a value, as in ${syntax} <${value}>`)
    return text
  }

  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (!arg.startsWith('-') || arg === '-') {
      positionals.push(arg)
      continue
    }
    const syntax = syntaxOf(arg)
    const value = textOf(syntax, optionOf(syntax), joinedValueOf(arg))
    if (values.has(syntax)) throw new UsageError(`${syntax}: expected only once`)
    values.set(syntax, value)
  }
  return { values, positionals }
}

/** Reads the arguments of a command. Throws UsageError. */
export function readArguments(args: readonly string[], command: Command): Arguments {
  const { values, positionals } = parse(args, command.options)
  const [argument, ...more] = positionals
  const flag = (option: string): boolean => values.get(`--${option}`) === true
  const most = command.argument === undefined ? 0 : 1
  if (positionals.length > most) throw new UsageError(`unexpected argument "${more[0] ?? argument}"`)
  if (positionals.length < most && !flag('help')) throw new UsageError(`expected <${command.argument}>`)
  return {
    text: option => {
      const value = values.get(`--${option}`)
      return typeof value === 'string' ? value : undefined
    },
    flag,
    argument,
  }
}

/** Splits `a,b`, ignoring blanks around the names; rejects an empty name. */
export function listOf(args: Arguments, option: string): readonly string[] | undefined {
  const items = args
    .text(option)
    ?.split(',')
    .map(item => item.trim())
  if (items?.includes('')) throw new UsageError(`--${option}: expected names, separated by commas`)
  return items
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 }
/** 100 years: dates and the service reject much longer times. */
const MAX_DAYS = 36_500
const DAY_SECONDS = 86_400

/** Reads `90`, `90s`, `15m`, `1h` or `7d` as seconds. */
export function durationOf(args: Arguments, option: string, least = 0): number | undefined {
  const text = args.text(option)
  if (text === undefined) return undefined
  const [, digits, unit = ''] = /^(\d{1,10})([smhd]?)$/.exec(text) ?? []
  const seconds = digits === undefined ? Number.NaN : Number(digits) * (UNITS[unit] ?? 1)
  if (seconds >= least && seconds <= MAX_DAYS * DAY_SECONDS) return seconds
  throw new UsageError(`--${option}: expected seconds, or 15m, 1h, 7d; from ${least} s to ${MAX_DAYS}d`)
}
