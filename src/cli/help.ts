import { COMMANDS, type CommandName } from './commands.ts'
import type { Command, Option } from './options.ts'

const PROGRAM = 'ara-notification-service'

const columns = (rows: readonly (readonly [string, string])[]): readonly string[] => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

const syntax = (name: string, { value }: Option): string =>
  value === undefined ? `--${name}` : `--${name} <${value}>`

/** Help of the whole program. */
export const overview = (): string => {
  const rows = Object.entries<Command>(COMMANDS).map(
    ([name, { argument, summary }]) =>
      [argument === undefined ? name : `${name} <${argument}>`, summary] as const,
  )
  return [
    `Usage: ${PROGRAM} [command] [options]`,
    '',
    'Commands:',
    ...columns(rows),
    '',
    'Options:',
    ...columns([
      ['<command> --help', 'show the options of a command'],
      ['--version [--json]', 'show version and commit'],
    ]),
    '',
    'All commands read the settings of the service from the environment and .env.',
    'Exit codes: 0 done, 1 failed, 2 wrong arguments.',
  ].join('\n')
}

/** Help of one command. */
export const helpOf = (name: CommandName): string => {
  const command: Command = COMMANDS[name]
  const argument = command.argument === undefined ? '' : ` <${command.argument}>`
  const { summary, example } = command
  return [
    `Usage: ${PROGRAM} ${name}${argument} [options]`,
    '',
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    '',
    'Options:',
    ...columns(Object.entries(command.options).map(([key, option]) => [syntax(key, option), option.help])),
    ...(example === undefined ? [] : ['', 'Example:', `  ${PROGRAM} ${example}`]),
  ].join('\n')
}
