import { isatty } from 'node:tty'
import pino from 'pino'
import { createLineWriter, type LineWriter } from '../lib/system/line-writer.ts'

/** Writes one line per event: a name and fields, never a payload, token, key or query string. */
export type Logger = Readonly<
  Record<'error' | 'warn' | 'info' | 'debug', (fields: object, event: string) => void> & {
    /** Absent in a logger that takes all lines. */
    isLevelEnabled?(level: 'debug'): boolean
  }
>

// pino's type has every property, `then` included, so an async function cannot return it.
const narrow = (logger: Logger): Logger => logger

const STDOUT = 1

type LogFormat = 'text' | 'json'

interface LogOptions {
  readonly level: string
  readonly format: LogFormat
  readonly out: { write(line: string): void }
  /** Stands in each line; for processes that share an output. */
  readonly node?: string
  /** Whether text is coloured; by default if stdout is a terminal. */
  readonly colours?: boolean
}

/** Whether stdout is a terminal. */
export const isTerminal = (): boolean => isatty(STDOUT)

/** Makes the function that formats the JSON line of an event. */
async function formatter(format: LogFormat, colours: boolean): Promise<(line: string) => string> {
  if (format === 'json') return line => line
  // Use the function, not the stream: the stream ends for good at the first failed write.
  const { prettyFactory } = await import('pino-pretty')
  return prettyFactory({
    singleLine: true,
    messageKey: 'event',
    timestampKey: 'ts',
    colorize: colours,
  })
}

export async function createLogger({
  level,
  format,
  out,
  node,
  colours = isTerminal(),
}: LogOptions): Promise<Logger> {
  const options = {
    level,
    base: node === undefined ? null : { node },
    messageKey: 'event',
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const formatted = await formatter(format, colours)
  return narrow(pino(options, { write: line => out.write(formatted(line)) }))
}

/** Makes the line that says how many lines were dropped, at any LOG_LEVEL. */
async function droppedLine(format: LogFormat, lines: number): Promise<string> {
  const written: string[] = []
  const logger = await createLogger({
    level: 'warn',
    format,
    out: { write: line => void written.push(line) },
  })
  logger.warn({ lines }, 'log.lines_dropped')
  return written.join('')
}

/** Opens stdout for log lines and all other text of the process. */
export const openOutput = (format: LogFormat): LineWriter =>
  createLineWriter({ fd: STDOUT, noteOf: lines => droppedLine(format, lines) })
