import { type Topic, tenantOf, userOf } from '../../notification/topic.ts'
import { PRIORITIES } from '../../protocol/values.ts'
import type { AppendResult, Draft, StoreLimits, UserLog } from '../store.ts'
import type { Batches } from './batches.ts'
import { type Sharers, sharersOf, writeBodies } from './bodies.ts'
import type { DeliveryNotes, NoteBatch } from './delivery-notes.ts'
import { groupsOf, MAX_DRAFTS, type PlacedDraft, weightOf } from './draft-groups.ts'
import type { IdleLogs } from './idle-logs.ts'
import { recipientsKey } from './keys.ts'
import type { LogScripts } from './log-scripts.ts'
import type { Pace } from './pace.ts'
import type { PushGroup, Pushing } from './pushing.ts'
import { isLate } from './refusal.ts'
import { SCRIPTS } from './scripts.ts'
import type { Command, LiveConnection } from './server.ts'
import type { EndAdmission, StoredSizes } from './stored-sizes.ts'
import type { Unit } from './unit.ts'

interface AppendOptions {
  readonly commits: Batches
  readonly storedSizes: StoredSizes
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly pace: Pace
  readonly idleLogs: IdleLogs
  readonly limits: StoreLimits
  /** Absent without a bus. */
  readonly startPushing: (() => Pushing) | undefined
}

/** Other calls run between the groups of a large call. */
const GROUPS_AT_ONCE = 2
/** Attempts at a group of a large call while Redis is slow. */
const ATTEMPTS = 10
const MINUTE_MS = 60_000
const NOTHING = (): void => {}
/** Stands for an entry that was not appended before the deadline. */
const TOO_LATE: AppendResult = { cursor: { epoch: '', seq: 0 }, repeated: false }

/**
 * Appends one script per draft, in groups. One user's entry is appended whole or not at all; a call may succeed for some
 * users only.
 */
export function createAppend({
  commits,
  storedSizes,
  scripts,
  notes,
  pace,
  idleLogs,
  limits,
  startPushing,
}: AppendOptions): UserLog['append'] {
  const { retentionMs, cleanupMs, maxEntries, maxBytes, tenantMaxBytes } = limits
  /** Keeps recipients as long as the delivery state of any of them, plus one cleanup. */
  const recipientsMs = retentionMs + cleanupMs + MINUTE_MS

  const appendOne = (
    connection: LiveConnection,
    deadline: number,
    { draft, body }: PlacedDraft,
    pushes: PushGroup | undefined,
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
    ]
    return pushes === undefined
      ? scripts.command(connection, draft.owner, SCRIPTS.append, given)
      : scripts.command(connection, draft.owner, SCRIPTS.appendAndPush, [...given, ...pushes.args(draft)])
  }

  /** Runs before the entries, so that no entry exists with unknown recipients. */
  const noteRecipients = (group: readonly PlacedDraft[]): readonly Command[] => {
    const byKey = new Map<string, (string | number)[]>()
    for (const { draft, place } of group) {
      const key = recipientsKey(tenantOf(draft.owner), draft.id)
      const users = byKey.get(key)
      if (users === undefined) byKey.set(key, [place, userOf(draft.owner)])
      else users.push(place, userOf(draft.owner))
    }
    return [...byKey].flatMap(([key, users]): Command[] => [
      ['zadd', key, 'NX', ...users],
      ['pexpire', key, recipientsMs],
    ])
  }

  /** A cleanup that already took a user from the index missed the entry. The next one finds it. */
  const noteDue = (group: readonly PlacedDraft[], now: number, due: (number | Topic)[]): void => {
    for (const { draft } of group) {
      const { owner, expiresAt = Number.POSITIVE_INFINITY } = draft
      due.push(Math.ceil(Math.min(expiresAt, now + retentionMs)), owner)
    }
  }

  const appendGroup = async (
    group: readonly PlacedDraft[],
    sharers: Sharers,
    pushing: Pushing | undefined,
    takesLate = false,
  ): Promise<readonly AppendResult[]> => {
    const before: Command[] = []
    let pushes: PushGroup | undefined
    const taken: (readonly [owner: Topic, taken: NoteBatch])[] = []
    const build: Unit['build'] = (connection, deadline, due) => {
      for (const owner of new Set(group.map(({ draft }) => draft.owner))) {
        const noted = notes.take(owner)
        if (noted === undefined) continue
        taken.push([owner, noted])
        before.push(scripts.command(connection, owner, SCRIPTS.note, noted.given))
      }
      before.push(...noteRecipients(group))
      if (sharers.size > 0) {
        const drafts = group.map(({ draft }) => draft)
        before.push(...writeBodies(drafts, sharers, recipientsMs))
        if (pushing !== undefined) before.push(...pushing.tellBodies(drafts, sharers))
      }
      pushes = pushing?.group()
      const appends = group.map(placed => appendOne(connection, deadline, placed, pushes))
      noteDue(group, connection.time() || connection.now(), due)
      return [...before, ...appends]
    }
    try {
      const replies = await commits.run({ bytes: weightOf(group), build, takesLate })
      for (const [n, [owner, noted]] of taken.entries())
        noted.written(scripts.answer(owner, replies[n]).answer)
      return group.map(({ draft: { owner } }, n) => {
        const reply = replies[before.length + n]
        if (isLate(reply)) {
          pushes?.reached(n, 0)
          return TOO_LATE
        }
        const [epoch, seq, repeated, nodes] = scripts.answer(owner, reply).answer
        const push = pushes?.reached(n, Number(nodes))
        return {
          cursor: { epoch: String(epoch), seq: Number(seq) },
          repeated: repeated === 1,
          ...(push && { push }),
        }
      })
    } catch (error) {
      // The error may concern another log of the group, so the notes stay pending.
      for (const [, noted] of taken) noted.lost()
      pushes?.lost()
      throw error
    }
  }

  /** A slow Redis appends a part of a large call before the deadline: the rest follows. */
  const appendInParts = async (
    group: readonly PlacedDraft[],
    sharers: Sharers,
    pushing: Pushing | undefined,
    attempts = ATTEMPTS,
  ): Promise<readonly AppendResult[]> => {
    const results = await appendGroup(group, sharers, pushing, attempts > 1)
    const rest = group.filter((_, n) => results[n] === TOO_LATE)
    if (rest.length === 0) return results
    const others = (await appendInParts(rest, sharers, pushing, attempts - 1)).values()
    return results.map(each => (each === TOO_LATE ? (others.next().value ?? each) : each))
  }

  const isRetained = async ({ owner, id }: Draft): Promise<boolean> =>
    (await scripts.ask(owner, SCRIPTS.known, [id])).length > 0

  /** Forgets idle logs where a limit applies. Returns whether that made room. */
  const makeRoom = async ([first]: readonly Draft[]): Promise<boolean> => {
    if (first === undefined) return false
    const hasRoom =
      (tenantMaxBytes > 0 && (await idleLogs.forget(tenantOf(first.owner)))) ||
      (maxBytes > 0 && (await idleLogs.forget()))
    if (hasRoom) await storedSizes.flush()
    return hasRoom
  }

  /** Like `storedSizes.admit`, but known ids need no room: a retry succeeds in a full store. */
  const admit = async (drafts: readonly Draft[], sharers: Sharers): Promise<EndAdmission> => {
    try {
      return storedSizes.admit(drafts, sharers)
    } catch (error) {
      const isKnown: boolean[] = []
      for (let from = 0; from < drafts.length; from += MAX_DRAFTS)
        isKnown.push(...(await Promise.all(drafts.slice(from, from + MAX_DRAFTS).map(isRetained))))
      const isRepeat = isKnown.includes(true)
      if (!(await makeRoom(drafts)) && !isRepeat) throw error
      return storedSizes.admit(
        drafts.filter((_, n) => !isKnown[n]),
        sharers,
      )
    }
  }

  return async drafts => {
    const turn = pace.turn(drafts.length)
    if (turn !== undefined) await turn
    const sharers = sharersOf(drafts)
    const endAdmission = storedSizes.isLimited ? await admit(drafts, sharers) : NOTHING
    let isNew = true
    try {
      const appended: AppendResult[] = []
      const groups = [...groupsOf(drafts, sharers)]
      const pushing = startPushing?.()
      const append = groups.length > 1 ? appendInParts : appendGroup
      // Sends few groups at a time: waiting groups hold one body per user in memory.
      for (let from = 0; from < groups.length; from += GROUPS_AT_ONCE) {
        const some = groups.slice(from, from + GROUPS_AT_ONCE)
        for (const each of await Promise.all(some.map(group => append(group, sharers, pushing))))
          appended.push(...each)
      }
      isNew = appended.some(({ repeated }) => !repeated)
      return appended
    } finally {
      endAdmission(isNew)
    }
  }
}
