import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { AckResult, Redelivery } from '../acks.ts'
import type { Claim, Reservation } from '../idempotency.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { Template, TemplateChanges } from '../template.ts'
import type { FileIdentity } from './file-watch.ts'
import type { Lives } from './life.ts'

/** A draft in a message between threads. Arrays cost half of what objects cost there. */
export type DraftRow = readonly [
  owner: Topic,
  id: string,
  /** Undefined: the body of the draft before it. */
  body: string | undefined,
  eventType: string,
  occurredAt: number,
  /** Index of its priority in PRIORITIES. */
  rank: number,
  expiresAt: number | undefined,
  trace: string | undefined,
]

export type AppendedRow = readonly [epoch: Epoch, seq: number, repeated: boolean]

/** All writes to the file. Each verb runs inside the transaction of its batch. */
export interface Writer {
  /** `full`: a limit on stored bytes is reached, and nothing was appended. */
  append(drafts: readonly DraftRow[]): readonly AppendedRow[] | 'full'
  ack(owner: Topic, ids: readonly string[]): readonly (AckResult | undefined)[]
  /** Acknowledges a bounded number of entries; `more`: others remain. Undefined for another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): { readonly count: number; readonly more: boolean } | undefined
  redeliver(owner: Topic, cursor: Cursor, most: number): Redelivery | undefined
  /** `at`: milliseconds since 1970. */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[], at: number): void
  received(owner: Topic, cursor: Cursor): void
  reserve(claim: Claim): Reservation
  answer(claim: Claim, answer: string): void
  release(claim: Claim, how: 'free' | 'retry'): void
  createTemplate(tenant: string, template: Template, most: number): 'created' | 'exists' | 'full'
  updateTemplate(tenant: string, id: string, changes: TemplateChanges): Template | undefined
  deleteTemplate(tenant: string, id: string): boolean
  revoke(owner: Topic, before: number, until: number): void
  totals(): { readonly messages: number; readonly users: number; readonly bytes: number }
  /** Physically removes a bounded number of ended items of that part. Returns whether there are more. */
  cleanUp(part: Part): boolean
  /** Stores the time for the next start; `ahead` as in `KnownTime`, null when unknown. */
  clock(jumped: number, ahead: number | null): void
  /** Writes this many bytes, to check that writing works. */
  probe(bytes: number): void
}

/** Parts that are cleaned up one after the other: a fault in one part does not stop the others. */
export const PARTS = ['entries', 'keys', 'revocations', 'logs'] as const
export type Part = (typeof PARTS)[number]

export type Verb = keyof Writer
export type Call<V extends Verb = Verb> = { [K in V]: readonly [verb: K, ...given: Parameters<Writer[K]>] }[V]

/** Calls and notes that one transaction carries out. */
export interface Batch {
  /** By the store's clock, milliseconds since 1970. */
  readonly now: number
  /** How far the wall clock is ahead of `now`, milliseconds. Drafts expire by the wall clock. */
  readonly jumped?: number
  /** Calls without an answer, carried out before `calls`. */
  readonly notes: readonly Call[]
  /** Number of the first call; the following calls count up by one. */
  readonly first: number
  readonly calls: readonly Call[]
}

/** A call of the store's observer, made after the commit. */
export type ObserverCall = {
  [K in keyof StoreObserver]: readonly [what: K, ...given: Parameters<StoreObserver[K]>]
}[keyof StoreObserver]

/** An error of our own code in one step of a batch. The batch was carried out without that step. */
export interface Fault {
  /** Index among the answers; undefined when no caller waits for the step. */
  readonly answer: number | undefined
  readonly error: unknown
}

/** The answer to a committed batch. */
export interface BatchResult {
  readonly type: 'done'
  /** Number of calls at the start that had timed out and were not carried out. */
  readonly skipped: number
  /** Answers to the other calls, in order. */
  readonly answers: readonly unknown[]
  readonly observerCalls: readonly ObserverCall[]
  readonly faults: readonly Fault[]
}

export type Reply =
  | BatchResult
  /** The file cannot be written. Nothing of the batch was written. */
  | { readonly type: 'failed'; readonly reason: string }
  /** An error of our own code outside every step. Nothing of the batch was written. */
  | { readonly type: 'failed'; readonly fault: unknown }
  | { readonly type: 'closed' }

/** The first message to the worker. */
export interface WorkerSetup {
  readonly type: 'open'
  readonly opened: FileIdentity
  readonly synchronous: 'FULL' | 'NORMAL'
  readonly limits: StoreLimits
  readonly lives: Lives
  /** One 64-bit number: callers of calls up to it were told that they timed out. */
  readonly givenUp: SharedArrayBuffer
  /** One 64-bit number: the writer counts it up while it makes progress on a large batch. */
  readonly work: SharedArrayBuffer
}

export type ToWorker = WorkerSetup | ({ readonly type: 'batch' } & Batch) | { readonly type: 'close' }

/** Approximate number of entries that a call concerns. */
export function weightOf(call: Call): number {
  if (call[0] === 'append') return call[1].length
  if (call[0] === 'ack') return call[2].length
  return call[0] === 'handed' ? call[3].length : 1
}

/** Takes items from the front up to the total weight `most`, and at least one. */
export function takeBatch<T>(queue: T[], weigh: (each: T) => number, most: number): T[] {
  let weight = 0
  let count = 0
  for (const each of queue) {
    weight += weigh(each)
    if (count > 0 && weight > most) break
    count++
  }
  return queue.splice(0, count)
}
