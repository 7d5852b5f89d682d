import { type Topic, tenantOf, userOf } from '../../notification/topic.ts'
import { PRIORITIES } from '../../protocol/values.ts'
import type { AppendResult, StoreLimits } from '../store.ts'
import type { Batches } from './batches.ts'
import { type Sharers, writeBodies } from './bodies.ts'
import type { DeliveryNotes, NoteBatch } from './delivery-notes.ts'
import { type PlacedDraft, weightOf } from './draft-groups.ts'
import { recipientsKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import type { Pushing } from './pushing.ts'
import { isLate } from './refusal.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command, LiveConnection, Reply } from './server.ts'
import type { Unit } from './unit.ts'

export interface AppendGroupOptions {
  readonly commits: Batches
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly limits: StoreLimits
  /** Absent without a bus. */
  readonly pushing: Pushing | undefined
}

/** The shared bodies of one call. */
export interface Sharing {
  readonly sharers: Sharers
  /** Notifications whose body was published to the other nodes. */
  readonly publishedBodies: Set<string>
}

/** Appends one group of drafts. With `takesLate` the result may hold TOO_LATE, otherwise a late draft rejects. */
export type AppendGroup = (
  group: readonly PlacedDraft[],
  sharing: Sharing,
  takesLate?: boolean,
) => Promise<readonly AppendResult[]>

/** Other commands of the group note the recipients. */
const NOTED = ['', '', '', '']
const MINUTE_MS = 60_000
/** Stands for an entry that was not appended before the deadline. */
export const TOO_LATE: AppendResult = { cursor: { epoch: '', seq: 0 }, repeated: false }

/** The drafts' users, each once. A group of one is the commonest and needs no set. */
const ownersOf = (group: readonly PlacedDraft[]): Iterable<Topic> => {
  const owners = group.map(({ draft }) => draft.owner)
  return owners.length === 1 ? owners : new Set(owners)
}

export function createAppendGroup({
  commits,
  scripts,
  notes,
  limits,
  pushing,
}: AppendGroupOptions): AppendGroup {
  const { retentionMs, cleanupMs, maxEntries } = limits
  /** Keeps recipients as long as the delivery state of any of them, plus one cleanup. */
  const recipientsMs = retentionMs + cleanupMs + MINUTE_MS

  const appendOne = (
    connection: LiveConnection,
    deadline: number,
    { draft, body }: PlacedDraft,
    pushId: number | undefined,
    recipients: readonly (string | number)[],
  ): Command => {
    const given = [
      Math.floor(deadline),
      maxEntries,
      draft.id,
      body.text,
      JSON.stringify(draft.eventType),
      draft.occurredAt,
      PRIORITIES.indexOf(draft.priority),
      draft.expiresAt ?? '',
      draft.traceparent ?? '',
      body.bytes,
      ...recipients,
    ]
    if (pushing === undefined || pushId === undefined)
      return scripts.command(connection, draft.owner, SCRIPTS.append, given)
    given.push(...pushing.args(pushId, draft))
    return scripts.command(connection, draft.owner, SCRIPTS.appendAndPush, given)
  }

  /** Arguments with which the script of a draft notes its recipient itself. */
  const recipientOf = ({ draft: { owner, id }, place }: PlacedDraft): readonly (string | number)[] => [
    recipientsKey(tenantOf(owner), id),
    place,
    userOf(owner),
    recipientsMs,
  ]

  /** Runs before the entries, so that no entry exists with unknown recipients. */
  const noteRecipients = (group: readonly PlacedDraft[], commands: Command[]): void => {
    const byKey = new Map<string, (string | number)[]>()
    for (const { draft, place } of group) {
      const key = recipientsKey(tenantOf(draft.owner), draft.id)
      const users = byKey.get(key)
      if (users === undefined) byKey.set(key, [place, userOf(draft.owner)])
      else users.push(place, userOf(draft.owner))
    }
    for (const [key, users] of byKey)
      commands.push(['zadd', key, 'NX', ...users], ['pexpire', key, recipientsMs])
  }

  /** A cleanup that already took a user from the index missed the entry. The next one finds it. */
  const noteDue = (group: readonly PlacedDraft[], now: number, due: (number | Topic)[]): void => {
    for (const { draft } of group) {
      const { owner, expiresAt = Number.POSITIVE_INFINITY } = draft
      due.push(Math.ceil(Math.min(expiresAt, now + retentionMs)), owner)
    }
  }

  const resultOf = (owner: Topic, reply: Reply, pushId: number | undefined): AppendResult => {
    if (isLate(reply)) return TOO_LATE
    const { answer } = scripts.answer(owner, reply)
    const cursor = { epoch: String(answer[0]), seq: Number(answer[1]) }
    const repeated = Number(answer[2]) === 1
    const nodes = Number(answer[3])
    return pushId !== undefined && nodes > 0
      ? { cursor, repeated, push: { id: pushId, nodes } }
      : { cursor, repeated }
  }

  return async (group, { sharers, publishedBodies }, takesLate = false) => {
    const commands: Command[] = []
    const taken: (readonly [owner: Topic, taken: NoteBatch])[] = []
    const pushIds: number[] = []
    let first = 0
    const build: Unit['build'] = (connection, deadline, due) => {
      for (const owner of ownersOf(group)) {
        const noted = notes.take(owner)
        if (noted === undefined) continue
        taken.push([owner, noted])
        commands.push(scripts.command(connection, owner, SCRIPTS.note, noted.given))
      }
      // The script of a draft alone notes its recipient: two commands and two replies less.
      const isAlone = group.length === 1
      if (!isAlone) noteRecipients(group, commands)
      if (sharers.size > 0) {
        const drafts = group.map(({ draft }) => draft)
        commands.push(...writeBodies(drafts, sharers, recipientsMs))
        if (pushing !== undefined) commands.push(...pushing.tellBodies(drafts, sharers, publishedBodies))
      }
      first = commands.length
      for (const placed of group) {
        const pushId = pushing?.begin()
        if (pushId !== undefined) pushIds.push(pushId)
        commands.push(appendOne(connection, deadline, placed, pushId, isAlone ? recipientOf(placed) : NOTED))
      }
      noteDue(group, connection.time() || connection.now(), due)
      return commands
    }
    try {
      const replies = await commits.run({ bytes: weightOf(group), build, takesLate })
      for (const [n, [owner, noted]] of taken.entries())
        noted.written(scripts.answer(owner, replies[n]).answer)
      return group.map(({ draft }, n) => resultOf(draft.owner, replies[first + n], pushIds[n]))
    } catch (error) {
      // The error may concern another log of the group, so the notes stay pending.
      for (const [, noted] of taken) noted.lost()
      throw error
    }
  }
}
