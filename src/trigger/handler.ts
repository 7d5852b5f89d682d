import type { Dispatch } from '../dispatch/dispatcher.ts'
import { isRefusal, type KeyClaim } from '../dispatch/once.ts'
import type { AppError } from '../errors.ts'
import { whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Attributes, RemoteParent, Span } from '../lib/trace-context.ts'
import type { Envelope } from '../notification/target.ts'
import type { Tracing } from '../observe/tracing.ts'
import { createIntake, type Fill, type Intake } from './intake.ts'
import {
  type MessageResult,
  type Pending,
  type Readers,
  type RejectedMessage,
  type Repeatable,
  readMessage,
  rejectionOf,
} from './trigger.ts'

/** The end of one attempt to dispatch a message. `replayed`, `in_progress`: as in `MessageResult`. */
export type MessageOutcome =
  | { readonly type: 'accepted'; readonly tenant: string }
  | { readonly type: 'replayed' | 'in_progress' }
  | {
      readonly type: 'rejected'
      readonly rejection: RejectedMessage
      /** Set if a dispatch was refused. */
      readonly tenant?: string
    }
  /** A defect of our code. */
  | { readonly type: 'fault'; readonly error: unknown }

export interface IncomingMessage {
  /** Name of its channel or stream. */
  readonly name: string
  readonly bytes: Uint8Array
  /** Time of acceptance, milliseconds since 1970. */
  readonly now: number
  readonly again?: Repeatable
  readonly span: { readonly name: 'redis.message' | 'stream.message'; readonly attributes: Attributes }
  /** Called right before the dispatch; an error prevents it. */
  readonly refuse?: (tenant: string) => AppError | undefined
  /** Called once, when the attempt has ended. */
  readonly done: (outcome: MessageOutcome, span: Span | undefined) => void
}

/** Reads and dispatches messages from Redis, in order of arrival. */
export interface Handler {
  handle(message: IncomingMessage): void
  /** Resolves when all messages handled up to now have ended. */
  settled(): Promise<void>
}

interface HandlerOptions extends Readers {
  readonly dispatch: Dispatch
  /** Bound on messages in progress; more are rejected. */
  readonly maxBytes: number
  readonly clock: Pick<Clock, 'monotonic'>
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** A message with its span. */
interface Work {
  readonly message: IncomingMessage
  readonly span: Span | undefined
}

/** An envelope with the message that it came from. */
interface Taken extends Envelope {
  readonly work: Work
  readonly held: KeyClaim | undefined
}

/** Too many messages are in progress. */
const OVERLOADED: RejectedMessage = { reason: 'store' }

/** Outcome as an attribute of a span. A message in progress elsewhere has a known key. */
function nameOf(outcome: MessageOutcome): string {
  switch (outcome.type) {
    case 'rejected':
      return outcome.rejection.reason
    case 'in_progress':
      return 'replayed'
    case 'accepted':
    case 'replayed':
    case 'fault':
      return outcome.type
  }
}

function startSpan(
  tracing: Tracing,
  { span: { name, attributes } }: IncomingMessage,
  parent: RemoteParent | undefined,
): Span {
  return tracing.start(name, { kind: 'consumer', parent, attributes })
}

function end({ message, span }: Work, outcome: MessageOutcome): void {
  message.done(outcome, span)
  if (span === undefined) return
  span.set({ 'ara.outcome': nameOf(outcome) })
  if (outcome.type === 'rejected' || outcome.type === 'fault') span.fail()
  span.end()
}

export function createHandler(options: HandlerOptions): Handler {
  const { dispatch, maxBytes, clock, tracing } = options
  const fail = (work: Work, error: unknown, tenant?: string): void => {
    const rejection = rejectionOf(error)
    const more = tenant === undefined ? {} : { tenant }
    end(work, rejection === undefined ? { type: 'fault', error } : { type: 'rejected', rejection, ...more })
  }

  const intake = createIntake<Taken>({
    dispatch: envelope => {
      const { tenant, work, held } = envelope
      const refusal = work.message.refuse?.(tenant)
      if (refusal !== undefined) throw refusal
      return whenReady(dispatch(envelope), outcome => {
        held?.answered('')
        end(work, { type: 'accepted', tenant })
        return outcome
      })
    },
    maxBytes,
    onFault: (error, { work, held, tenant }) => {
      held?.failed(isRefusal(error) ? 'free' : 'retry')
      fail(work, error, tenant)
    },
  })

  /** Takes a message that needs no further look-up. */
  const carryOut = (work: Work, judged: MessageResult, take: Intake<Taken>['take']): void => {
    if (!judged.ok) end(work, { type: 'rejected', rejection: judged })
    else if (judged.envelope === undefined) end(work, { type: judged.known })
    else {
      const { envelope, held } = judged
      const { tenant, target, notification } = envelope
      // Fields, not a spread: it would cost as much as all of `carryOut`.
      const taken = {
        tenant,
        target,
        notification,
        acceptedAt: clock.monotonic(),
        span: work.span,
        work,
        held,
      }
      if (take(taken)) return
      held?.failed('free')
      end(work, { type: 'rejected', rejection: OVERLOADED })
    }
  }

  /** Keeps the place of a message until its template or its key is found. */
  const carryOutLater = async (work: Work, pending: Pending, fill: Fill<Taken>): Promise<void> => {
    try {
      carryOut(work, await pending.judge(), fill)
    } catch (error) {
      fail(work, error)
    } finally {
      // Frees the place of a rejected message; has no effect on a taken one.
      fill(undefined)
    }
  }

  return {
    handle: message => {
      const { bytes } = message
      const verdict = readMessage(message, options)
      const span = tracing && startSpan(tracing, message, verdict.parent)
      const work = { message, span }
      const fill = 'judge' in verdict ? intake.reserve(bytes.length) : undefined
      if (!('judge' in verdict)) carryOut(work, verdict, intake.take)
      else if (fill === undefined) end(work, { type: 'rejected', rejection: OVERLOADED })
      else void carryOutLater(work, verdict, fill)
    },
    settled: intake.settled,
  }
}
