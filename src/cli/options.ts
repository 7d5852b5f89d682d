import { parseArgs } from 'node:util'

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

/** First sentence of a message; `parseArgs` adds advice that does not fit. */
const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(/\n|\. /, 1)[0] ?? ''

/** Joins an option and its value: a cursor or a number may begin with `-`, which `parseArgs` rejects. */
function joined(args: readonly string[], options: Command['options']): readonly string[] {
  const isOption = (text: string): boolean => text.startsWith('--') && Object.hasOwn(options, text.slice(2))
  const out: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    const next = args[at + 1]
    const takesValue = isOption(arg) && options[arg.slice(2)]?.value !== undefined
    if (takesValue && next !== undefined && !isOption(next)) {
      out.push(`${arg}=${next}`)
      at++
    } else out.push(arg)
  }
  return out
}

function parse(args: readonly string[], { options }: Command) {
  const known = { ...options, help: { help: '' } }
  try {
    return parseArgs({
      args: [...joined(args, known)],
      options: Object.fromEntries(
        Object.entries<Option>(known).map(([name, { value }]) => [
          name,
          { type: value === undefined ? 'boolean' : 'string', ...(name === 'help' && { short: 'h' }) },
        ]),
      ),
      allowPositionals: true,
    })
  } catch (error) {
    throw new UsageError(firstSentence(error))
  }
}

/** Reads the arguments of a command. Throws UsageError. */
export function readArguments(args: readonly string[], command: Command): Arguments {
  const { values, positionals } = parse(args, command)
  const [argument, ...more] = positionals
  const flag = (option: string): boolean => values[option] === true
  const most = command.argument === undefined ? 0 : 1
  if (positionals.length > most) throw new UsageError(`unexpected argument "${more[0] ?? argument}"`)
  if (positionals.length < most && !flag('help')) throw new UsageError(`expected <${command.argument}>`)
  return {
    text: option => {
      const value = values[option]
      return typeof value === 'string' ? value : undefined
    },
    flag,
    argument,
  }
}

/** Splits `a,b`; rejects an empty name. */
export function listOf(args: Arguments, option: string): readonly string[] | undefined {
  const items = args.text(option)?.split(',')
  if (items?.includes('')) throw new UsageError(`--${option}: expected names, separated by commas`)
  return items
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 }

/** Reads `90`, `90s`, `15m`, `1h` or `7d` as seconds. */
export function durationOf(args: Arguments, option: string): number | undefined {
  const text = args.text(option)
  if (text === undefined) return undefined
  const [, digits, unit = ''] = /^(\d{1,10})([smhd]?)$/.exec(text) ?? []
  if (digits === undefined) throw new UsageError(`--${option}: expected seconds, or 15m, 1h, 7d`)
  return Number(digits) * (UNITS[unit] ?? 1)
}
