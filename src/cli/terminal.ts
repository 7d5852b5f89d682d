import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { Environment } from '../config/config.ts'
import { writeAll } from '../lib/system/line-writer.ts'

export const STDOUT = 1
const STDERR = 2
const CODES = { green: 32, yellow: 33, red: 31 } as const

export type Colour = keyof typeof CODES

/** Stdout failed for another reason than a reader that has gone, such as a full disk. */
export class OutputError extends Error {}

/** Output of a command. */
export interface Terminal {
  /** Writes a line to stdout; false once its reader has gone. Throws OutputError. */
  print(line: string): Promise<boolean>
  /** Writes a line to stderr. */
  note(line: string): Promise<void>
  /** Colours text for stdout if it is a terminal and NO_COLOR is unset. */
  paint(colour: Colour, text: string): string
}

const CONTROL = /\p{Cc}/gu

/** Escapes control characters as JSON does: a notification must not control the terminal. */
export const printable = (text: string): string =>
  text.replace(CONTROL, each => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)

async function writeLine(fd: number, line: string): Promise<boolean> {
  const bytes = Buffer.from(`${line}\n`)
  return (await writeAll(fd, bytes)) === bytes.length
}

/** A pipe, a socket or a terminal fails when its reader has gone; a file or device for other reasons. */
function isReadByProcess(fd: number): boolean {
  const kind = fstatSync(fd)
  return kind.isFIFO() || kind.isSocket() || isatty(fd)
}

export function openTerminal(env: Environment): Terminal {
  const hasColours = isatty(STDOUT) && !env['NO_COLOR']
  return {
    print: async line => {
      const isWritten = await writeLine(STDOUT, line)
      if (!isWritten && !isReadByProcess(STDOUT))
        throw new OutputError('cannot write to stdout: check the free space')
      return isWritten
    },
    note: async line => {
      await writeLine(STDERR, line)
    },
    paint: (colour, text) => (hasColours ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text),
  }
}
