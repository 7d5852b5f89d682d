import { isatty } from 'node:tty'
import pino from 'pino'
import { createLineWriter, type LineWriter } from '../lib/system/line-writer.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type Span, traceOf } from '../lib/trace-context.ts'
import type { AuthFailure, Stats } from './stats.ts'

/** One line per event: a name and fields, never a payload, a token, a key or a URL with its query. */
export type Logger = Readonly<
  Record<'error' | 'warn' | 'info' | 'debug', (fields: object, event: string) => void>
>

// pino's own type answers to every name, `then` included, which no async function may return.
const narrow = (logger: Logger): Logger => logger

const STDOUT = 1
const REFUSALS_PER_SECOND = 10

type LogFormat = 'text' | 'json'

interface LogOptions {
  readonly level: string
  readonly format: LogFormat
  readonly out: { write(line: string): void }
}

/** Turns the JSON line of an event into the line that is written. */
async function formatter(format: LogFormat): Promise<(line: string) => string> {
  if (format === 'json') return line => line
  // Only its function: its stream ends for good at the first failed write.
  const { prettyFactory } = await import('pino-pretty')
  return prettyFactory({
    singleLine: true,
    messageKey: 'event',
    timestampKey: 'ts',
    colorize: isatty(STDOUT),
  })
}

export async function createLogger({ level, format, out }: LogOptions): Promise<Logger> {
  const options = {
    level,
    base: null,
    messageKey: 'event',
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const formatted = await formatter(format)
  return narrow(pino(options, { write: line => out.write(formatted(line)) }))
}

/** The line that tells how many lines are missing; no level hides it. */
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

/** Lines of a log, and any other text of the process, to stdout. */
export const openOutput = (format: LogFormat): LineWriter =>
  createLineWriter({ fd: STDOUT, noteOf: lines => droppedLine(format, lines) })

/** Somebody who was not let in, and why: for the log only. */
interface Refusal extends RequestIds {
  readonly kind: AuthFailure
  readonly reason: string
}

/** What stands in all lines about one request. */
export interface RequestIds {
  readonly request_id?: string
  /** When it is traced. */
  readonly trace_id?: string
}

/** `headers` are those of the answer, by lower-case name. */
export const idsOf = (headers: Readonly<Record<string, unknown>>, span: Span | undefined): RequestIds => ({
  request_id: String(headers['x-request-id']),
  ...traceOf(span),
})

/** Counts refusals, with a line for each; at most ten a second, since anybody can make them. */
export function tellRefusals(
  logger: Logger,
  clock: Clock,
  failures: Stats['authFailures'],
): (refusal: Refusal) => void {
  const say = limited<Refusal>({
    perSecond: REFUSALS_PER_SECOND,
    clock,
    write: fields => logger.info(fields, 'auth.refused'),
  })
  return refusal => {
    failures[refusal.kind]++
    say(refusal)
  }
}

const STORE_LINES_PER_SECOND = 2

/** Lines about a store: why it is away, and why what it keeps may not last. */
export const tellOfStore = (logger: Logger, clock: Clock) => {
  const sayAway = limited<{ readonly reason: string }>({
    perSecond: STORE_LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'store.away'),
  })
  return {
    onAway: (reason: string): void => sayAway({ reason }),
    onWarning: (warning: string): void => logger.warn({ warning }, 'start.warning'),
  }
}

/** Lets at most `perSecond` lines of one kind through in any second; the next one let through says how many were held back. */
export function limited<F extends object>({
  perSecond,
  clock,
  write,
}: {
  readonly perSecond: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly write: (fields: F & { readonly held_back?: number }) => void
}): (fields: F) => void {
  /** When the last ones were written; `oldest` is the place of the first of them. */
  const times = Array.from({ length: perSecond }, () => Number.NEGATIVE_INFINITY)
  let oldest = 0
  let heldBack = 0
  return fields => {
    const now = clock.monotonic()
    if (now - (times[oldest] ?? now) < 1000) {
      heldBack++
      return
    }
    times[oldest] = now
    oldest = (oldest + 1) % perSecond
    write(heldBack > 0 ? { ...fields, held_back: heldBack } : fields)
    heldBack = 0
  }
}
