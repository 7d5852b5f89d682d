import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { Claim, Reservation } from '../idempotency.ts'
import type { AckResult, Redelivery, StoreLimits, StoreObserver } from '../store.ts'
import type { Template, TemplateChanges } from '../template.ts'
import type { Lives } from './life.ts'
import type { FileIdentity } from './presence.ts'

/** A draft on its way between threads, where lists cost half of what objects do. */
export type DraftRow = readonly [
  owner: Topic,
  id: string,
  /** Undefined: that of the draft before it. */
  body: string | undefined,
  eventType: string,
  occurredAt: number,
  /** Its priority's place among PRIORITIES. */
  rank: number,
  expiresAt: number | undefined,
  trace: string | undefined,
]

export type AppendedRow = readonly [epoch: Epoch, seq: number, repeated: boolean]

/** All that is ever written; each verb is carried out inside the transaction of its batch. */
export interface Writer {
  /** `full`: a bound on stored bytes is reached, and nothing was appended. */
  append(drafts: readonly DraftRow[]): readonly AppendedRow[] | 'full'
  ack(owner: Topic, ids: readonly string[]): readonly (AckResult | undefined)[]
  /** A bounded number of entries at once; `more`: there are others. Undefined for another epoch or beyond the head. */
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
  /** Physically removes a bounded number of what has ended in that part; whether there is more. */
  cleanUp(part: Part): boolean
  /** Notes the time for the next start; `ahead` as in `Past`, null when it is not known. */
  clock(jumped: number, ahead: number | null): void
  /** Writes so many bytes, to see whether that works. */
  probe(bytes: number): void
}

/** What is cleaned up one after the other: a fault in one part leaves the others alone. */
export const PARTS = ['entries', 'keys', 'revocations', 'logs'] as const
export type Part = (typeof PARTS)[number]

export type Verb = keyof Writer
export type Call<V extends Verb = Verb> = { [K in V]: readonly [verb: K, ...given: Parameters<Writer[K]>] }[V]

/** What is carried out in one transaction. */
export interface Batch {
  /** By the store's clock, milliseconds since 1970. */
  readonly now: number
  /** How far the wall clock, by which drafts expire, is ahead of `now`, milliseconds. */
  readonly jumped?: number
  /** Without an answer, and before the calls. */
  readonly notes: readonly Call[]
  /** The number of the first call; the others follow by one. */
  readonly first: number
  readonly calls: readonly Call[]
}

/** What a store's observer is to be told. */
export type ObserverCall = {
  [K in keyof StoreObserver]: readonly [what: K, ...given: Parameters<StoreObserver[K]>]
}[keyof StoreObserver]

/** An error of our own code in one step of a batch: the batch was carried out without that step. */
export interface Fault {
  /** The place among the answers; undefined when no caller waits for the step. */
  readonly answer: number | undefined
  readonly error: unknown
}

/** The answer to a batch that was committed. */
export interface Done {
  readonly type: 'done'
  /** So many of the first calls had been given up and were not carried out. */
  readonly skipped: number
  /** Of the others, in order. */
  readonly answers: readonly unknown[]
  readonly told: readonly ObserverCall[]
  readonly faults: readonly Fault[]
}

export type Reply =
  | Done
  /** The file cannot be written; nothing of the batch was. */
  | { readonly type: 'failed'; readonly reason: string }
  /** An error of our own code outside every step; nothing of the batch was written. */
  | { readonly type: 'failed'; readonly fault: unknown }
  | { readonly type: 'closed' }

/** What the worker is sent first. */
export interface WorkerSetup {
  readonly type: 'open'
  readonly opened: FileIdentity
  readonly synchronous: 'FULL' | 'NORMAL'
  readonly limits: StoreLimits
  readonly lives: Lives
  /** One 64-bit number: calls up to it have been given up by whoever asked. */
  readonly givenUp: SharedArrayBuffer
  /** One 64-bit number: how often the writer got on with much work. */
  readonly work: SharedArrayBuffer
}

export type ToWorker = WorkerSetup | ({ readonly type: 'batch' } & Batch) | { readonly type: 'close' }

/** About how many entries a call is about. */
export function weightOf(call: Call): number {
  if (call[0] === 'append') return call[1].length
  if (call[0] === 'ack') return call[2].length
  return call[0] === 'handed' ? call[3].length : 1
}

/** Takes from the front what weighs so much together, and at least one. */
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
