import { PRIORITIES } from '../../notification/notification.ts'
import { type Topic, tenantOf, userOf } from '../../notification/topic.ts'
import type { Appended, Draft, Log, StoreLimits } from '../store.ts'
import type { Batches } from './batches.ts'
import { DUE_KEY, recipientsKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import type { Notes, Taken } from './notes.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command, Present } from './server.ts'

interface AppendOptions {
  readonly commits: Batches
  readonly scripts: LogScripts
  readonly notes: Notes
  readonly limits: StoreLimits
  /** Milliseconds since 1970; undefined: by the clock of Redis. */
  readonly time: (() => number) | undefined
}

/** Of one call that go together: other calls take turns with a large one. */
const MAX_DRAFTS = 200
const MAX_BYTES = 512 * 1024
const GROUPS_AT_ONCE = 2
const OVERHEAD = 500
const MINUTE_MS = 60_000

/** A draft and its place among all of its call. */
type Placed = readonly [draft: Draft, place: number]

/** Drafts in groups that are not too large. */
function* groupsOf(drafts: readonly Draft[]): Generator<readonly Placed[]> {
  let group: Placed[] = []
  let bytes = 0
  for (const [place, draft] of drafts.entries()) {
    if (group.length > 0 && (group.length >= MAX_DRAFTS || bytes + draft.body.length > MAX_BYTES)) {
      yield group
      group = []
      bytes = 0
    }
    group.push([draft, place])
    bytes += draft.body.length
  }
  if (group.length > 0) yield group
}

const weightOf = (group: readonly Placed[]): number =>
  group.reduce((sum, [{ body }]) => sum + OVERHEAD + body.length, 0)

/** Appends user by user, each in one script, in groups: all or none of one user's entry, not of all users'. */
export function createAppend({ commits, scripts, notes, limits, time }: AppendOptions): Log['append'] {
  const { retentionMs, cleanupMs, maxEntries } = limits
  /** Whom a notification was for stays known as long as what has become of it for any of them: until a cleanup. */
  const recipientsMs = retentionMs + cleanupMs + MINUTE_MS

  const appendOne = (present: Present, deadline: number, draft: Draft): Command =>
    scripts.command(present, draft.owner, SCRIPTS.append, [
      Math.floor(deadline),
      maxEntries,
      draft.id,
      draft.body,
      JSON.stringify(draft.eventType),
      draft.occurredAt,
      PRIORITIES.indexOf(draft.priority),
      draft.expiresAt ?? '',
      draft.trace ?? '',
    ])

  /** Before the entries, so that none is there whose recipients are not known. */
  const noteRecipients = (group: readonly Placed[]): readonly Command[] =>
    [...Map.groupBy(group, ([{ id, owner }]) => recipientsKey(tenantOf(owner), id))].flatMap(
      ([key, placed]): Command[] => [
        ['zadd', key, 'NX', ...placed.flatMap(([{ owner }, place]) => [place, userOf(owner)])],
        ['pexpire', key, recipientsMs],
      ],
    )

  /** After the entries: whoever has taken a user out of the index before has not seen them, who takes it later will. */
  const noteDue = (group: readonly Placed[], now: number): Command => [
    'zadd',
    DUE_KEY,
    'LT',
    ...group.flatMap(([{ owner, expiresAt = Number.POSITIVE_INFINITY }]) => [
      Math.ceil(Math.min(expiresAt, now + retentionMs)),
      owner,
    ]),
  ]

  const appendGroup = async (group: readonly Placed[]): Promise<readonly Appended[]> => {
    const before: Command[] = []
    const taken: (readonly [owner: Topic, taken: Taken])[] = []
    const build = (present: Present, deadline: number): readonly Command[] => {
      for (const owner of new Set(group.map(([draft]) => draft.owner))) {
        const noted = notes.take(owner)
        if (noted === undefined) continue
        taken.push([owner, noted])
        before.push(scripts.command(present, owner, SCRIPTS.note, noted.given))
      }
      before.push(...noteRecipients(group))
      const appends = group.map(([draft]) => appendOne(present, deadline, draft))
      return [...before, ...appends, noteDue(group, time?.() ?? present.now())]
    }
    try {
      const replies = await commits.run({ bytes: weightOf(group), build })
      for (const [n, [owner]] of taken.entries()) scripts.answer(owner, replies[n])
      return group.map(([{ owner }], n) => {
        const [epoch, seq, repeated] = scripts.answer(owner, replies[before.length + n]).answer
        return { cursor: { epoch: String(epoch), seq: Number(seq) }, repeated: repeated === 1 }
      })
    } catch (error) {
      for (const [, noted] of taken) noted.lost()
      throw error
    }
  }

  return async drafts => {
    const appended: Appended[] = []
    const groups = [...groupsOf(drafts)]
    // A few at a time: what waits is held in memory as often as there are users.
    for (let from = 0; from < groups.length; from += GROUPS_AT_ONCE)
      for (const some of await Promise.all(groups.slice(from, from + GROUPS_AT_ONCE).map(appendGroup)))
        appended.push(...some)
    return appended
  }
}
