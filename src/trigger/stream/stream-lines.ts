import type { HttpErrorCode } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { limited } from '../../observe/limited.ts'
import type { Logger } from '../../observe/log.ts'

/** Log lines about a stream. */
export interface StreamLines {
  /** All entries, or those of one tenant, wait because the store refuses them. */
  paused(code: HttpErrorCode, which: { readonly tenant?: string }): void
  resumed(which: { readonly tenant?: string }): void
  /** The store refuses an entry again and again while it accepts others. */
  refused(entry: string): void
  /** An entry becomes a dead letter because its attempts failed. */
  givenUp(entry: string, tries: number): void
  /** Redis refuses to add a dead letter. */
  letterFailed(error: unknown): void
  /** An entry was deleted before it was dispatched. */
  gone(entry: string): void
  /** Entries of another consumer were taken over. */
  claimed(entries: number): void
}

const LINES_PER_SECOND = 2

type StreamEvent =
  | 'stream.paused'
  | 'stream.resumed'
  | 'stream.entry_refused'
  | 'stream.given_up'
  | 'stream.dead_letter_failed'
  | 'stream.entry_gone'
  | 'stream.claimed'

export function createStreamLines({
  name: stream,
  clock,
  logger,
}: {
  readonly name: string
  readonly clock: Pick<Clock, 'monotonic'>
  readonly logger: Logger
}): StreamLines {
  const line = (level: 'info' | 'warn', event: StreamEvent) =>
    limited<object>({
      perSecond: LINES_PER_SECOND,
      clock,
      write: fields => logger[level]({ stream, ...fields }, event),
    })
  const paused = line('warn', 'stream.paused')
  const resumed = line('info', 'stream.resumed')
  const refused = line('warn', 'stream.entry_refused')
  const givenUp = line('warn', 'stream.given_up')
  const letterFailed = line('warn', 'stream.dead_letter_failed')
  const gone = line('warn', 'stream.entry_gone')
  const claimed = line('info', 'stream.claimed')

  return {
    paused: (code, which) => paused({ code, ...which }),
    resumed,
    refused: entry => refused({ entry }),
    givenUp: (entry, tries) => givenUp({ entry, tries }),
    letterFailed: error => letterFailed({ reason: error instanceof Error ? error.message : String(error) }),
    gone: entry => gone({ entry }),
    claimed: entries => claimed({ entries }),
  }
}
