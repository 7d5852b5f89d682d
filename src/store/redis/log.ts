import type { Cursor } from '../../notification/cursor.ts'
import { type Topic, userOf, userTopic } from '../../notification/topic.ts'
import type { PageLimit } from '../page-limit.ts'
import type {
  Base,
  DeliveryReport,
  DeliveryState,
  Entry,
  ListedEntry,
  LogStart,
  Page,
  Recipient,
  StoreLimits,
  UserLog,
} from '../store.ts'
import { createAppend } from './append.ts'
import type { Batches } from './batches.ts'
import type { Bodies } from './bodies.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { IdleLogs } from './idle-logs.ts'
import { recipientsKey } from './keys.ts'
import type { Answer, LogScripts } from './log-scripts.ts'
import type { Pace } from './pace.ts'
import type { Pushing } from './pushing.ts'
import { SCRIPTS } from './scripts.ts'
import { run } from './server.ts'
import type { StoredSizes } from './stored-sizes.ts'

interface LogOptions {
  readonly bodies: Bodies
  readonly storedSizes: StoredSizes
  /** For writes that must survive. */
  readonly commits: Batches
  readonly reads: Batches
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly pace: Pace
  readonly idleLogs: IdleLogs
  readonly limits: StoreLimits
  readonly totals: UserLog['totals']
  /** Absent without a bus. */
  readonly pushing: Pushing | undefined
}

/** In the order of their numbers in the scripts. */
const STATES: readonly DeliveryState[] = ['queued', 'sent', 'acked', 'expired', 'dropped', 'received']
const BYTES = 300
const HEADS_AT_ONCE = 500
const FIELDS_OF_ENTRY = 4

const stateOf = (number: unknown): DeliveryState => STATES[Number(number)] ?? 'queued'

function basesOf(text: string): readonly Base[] {
  return text
    .split(',')
    .filter(base => base !== '')
    .map(base => {
      const [epoch = '', seq] = base.split(':')
      return { epoch, seq: Number(seq) }
    })
}

function logStartOf([epoch, seq, received, removed, lost, bases]: Answer): LogStart {
  return {
    head: { epoch: String(epoch), seq: Number(seq) },
    received: Number(received),
    removedThrough: Number(removed),
    lostThrough: Number(lost),
    bases: basesOf(String(bases)),
  }
}

function entriesOf(fields: Answer): readonly ListedEntry[] {
  const entries: ListedEntry[] = []
  for (let at = 0; at < fields.length; at += FIELDS_OF_ENTRY) {
    const [seq, body, trace, state] = fields.slice(at, at + FIELDS_OF_ENTRY)
    entries.push({
      seq: Number(seq),
      body: String(body),
      ...(trace !== '' && { traceparent: String(trace) }),
      state: stateOf(state),
    })
  }
  return entries
}

const withoutState = ({ state: _, ...entry }: ListedEntry): Entry => entry

const recipientOf = (owner: Topic, [, , , state, attempts, at]: Answer): Recipient => ({
  owner,
  state: stateOf(state),
  attempts: Number(attempts),
  at: Number(at),
})

export function createLog({
  commits,
  reads,
  scripts,
  bodies,
  storedSizes,
  notes,
  pace,
  idleLogs,
  limits,
  totals,
  pushing,
}: LogOptions): UserLog {
  /** Writes the pending notes of the log first, so that the answer includes them. */
  const ask: LogScripts['ask'] = async (owner, script, given) => {
    await notes.flush(owner)
    return scripts.ask(owner, script, given)
  }

  const readPage = async (
    owner: Topic,
    after: number,
    { entries: most, bytes }: PageLimit,
    how: { readonly unsettledOnly?: boolean; readonly withState?: boolean },
  ): Promise<Page<ListedEntry>> => {
    const flags = [how.unsettledOnly ? '1' : '', how.withState ? '1' : '']
    for (let from = after; ; ) {
      const [epoch, end, removed, follows, ...fields] = await ask(owner, SCRIPTS.read, [
        from,
        most,
        bytes,
        ...flags,
      ])
      const through = Number(end)
      const entries = await bodies.resolve(owner, entriesOf(fields))
      // The log lost entries: read it again.
      if (entries === undefined) continue
      // A script visits a bounded number of entries and may have found none that matches.
      if (follows !== 1 || entries.length > 0)
        return { epoch: String(epoch), entries, through, removedThrough: Number(removed) }
      from = through
    }
  }

  const headOf = async (owner: Topic): Promise<Cursor> =>
    logStartOf(await scripts.ask(owner, SCRIPTS.open, [])).head

  const report: UserLog['report'] = async (tenant, id, { after, limit }) => {
    const key = recipientsKey(tenant, id)
    const [reply] = await reads.run({
      bytes: BYTES,
      build: () => [run(SCRIPTS.recipients, [key], after === undefined ? '' : userOf(after), limit)],
    })
    const [first, ...page] = (Array.isArray(reply) ? reply : []).map(user => userTopic(tenant, String(user)))
    if (first === undefined) return undefined
    const answers = await Promise.all([first, ...page].map(owner => ask(owner, SCRIPTS.report, [id])))
    const known = answers.find(({ length }) => length > 0)
    if (known === undefined) return undefined
    const [eventType, occurredAt, expiresAt] = known
    return {
      id,
      eventType: String(JSON.parse(String(eventType))),
      occurredAt: Number(occurredAt),
      ...(Number(expiresAt) >= 0 && { expiresAt: Number(expiresAt) }),
      // Leaves out users whose log never got the notification.
      recipients: page.flatMap((owner, n) => {
        const answer = answers[n + 1] ?? []
        return answer.length === 0 ? [] : [recipientOf(owner, answer)]
      }),
    } satisfies DeliveryReport
  }

  return {
    append: createAppend({ commits, storedSizes, scripts, notes, pace, idleLogs, limits, pushing }),
    open: async owner => logStartOf(await ask(owner, SCRIPTS.open, [])),
    heads: async owners => {
      const heads: Cursor[] = []
      for (let from = 0; from < owners.length; from += HEADS_AT_ONCE)
        heads.push(...(await Promise.all(owners.slice(from, from + HEADS_AT_ONCE).map(headOf))))
      return heads
    },
    count: async (owner, after) => {
      const [count] = await ask(owner, SCRIPTS.count, [after])
      return Number(count)
    },
    read: async (owner, after, limit, unsettledOnly = false) => {
      const { entries, ...page } = await readPage(owner, after, limit, { unsettledOnly })
      return { ...page, entries: entries.map(withoutState) }
    },
    list: (owner, after, limit) => readPage(owner, after, limit, { withState: true }),
    report,
    handed: notes.handed,
    received: notes.received,
    totals,
  }
}
