import pino, { type DestinationStream } from 'pino'
import type { Clock } from '../lib/clock.ts'

/** One line per event: a name and fields, never a payload, a token, a key or a URL with its query. */
export type Log = Readonly<
  Record<'error' | 'warn' | 'info' | 'debug', (fields: object, event: string) => void>
>

// pino's own type answers to every name, `then` included, which no async function may return.
const narrow = (log: Log): Log => log

interface LogOptions {
  readonly level: string
  readonly format: 'text' | 'json'
  /** Where lines go when not to stdout. */
  readonly out?: DestinationStream
}

export async function createLog({ level, format, out }: LogOptions): Promise<Log> {
  const options = {
    level,
    base: null,
    messageKey: 'event',
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  if (format === 'json') return narrow(pino(options, out ?? pino.destination({ sync: true })))
  // A transport by name would start a worker, which a compiled binary cannot find.
  const { default: pretty } = await import('pino-pretty')
  return narrow(
    pino(
      options,
      pretty({
        sync: true,
        messageKey: 'event',
        timestampKey: 'ts',
        ...(out && { destination: out }),
        colorize: process.stdout.isTTY ?? false,
      }),
    ),
  )
}

/** Lets at most `perSecond` lines of one kind through; the next one let through says how many were held back. */
export function limited({
  perSecond,
  clock,
  write,
}: {
  readonly perSecond: number
  readonly clock: Clock
  readonly write: (fields: object) => void
}): (fields: object) => void {
  let second = -1
  let written = 0
  let heldBack = 0
  return fields => {
    const now = Math.floor(clock.monotonic() / 1000)
    if (now !== second) {
      second = now
      written = 0
    }
    if (written >= perSecond) {
      heldBack++
      return
    }
    written++
    write(heldBack > 0 ? { ...fields, held_back: heldBack } : fields)
    heldBack = 0
  }
}
