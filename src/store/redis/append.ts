import { tenantOf } from '../../notification/topic.ts'
import type { AppendResult, Draft, UserLog } from '../store.ts'
import { type AppendGroupOptions, createAppendGroup, type Sharing, TOO_LATE } from './append-group.ts'
import { NO_SHARERS, type Sharers, sharersOf } from './bodies.ts'
import { groupsOf, MAX_DRAFTS, type PlacedDraft, placeDraft } from './draft-groups.ts'
import type { IdleLogs } from './idle-logs.ts'
import type { Pace } from './pace.ts'
import { SCRIPTS } from './scripts.ts'
import type { EndAdmission, StoredSizes } from './stored-sizes.ts'

interface AppendOptions extends AppendGroupOptions {
  readonly storedSizes: StoredSizes
  readonly pace: Pace
  readonly idleLogs: IdleLogs
}

/** Other calls run between the groups of a large call. */
const GROUPS_AT_ONCE = 2
/** Attempts at a group of a large call while Redis is slow. */
const ATTEMPTS = 10
const NOTHING = (): void => {}
const ALONE: Sharing = { sharers: NO_SHARERS, publishedBodies: new Set() }

/**
 * Appends one script per draft, in groups. One user's entry is appended whole or not at all; a call may succeed for some
 * users only.
 */
export function createAppend({ storedSizes, pace, idleLogs, ...options }: AppendOptions): UserLog['append'] {
  const { scripts, limits } = options
  const { maxBytes, tenantMaxBytes } = limits
  const appendGroup = createAppendGroup(options)

  /** A slow Redis appends a part of a large call before the deadline: the rest follows. */
  const appendInParts = async (
    group: readonly PlacedDraft[],
    sharing: Sharing,
    attempts = ATTEMPTS,
  ): Promise<readonly AppendResult[]> => {
    const results = await appendGroup(group, sharing, attempts > 1)
    const rest = group.filter((_, n) => results[n] === TOO_LATE)
    if (rest.length === 0) return results
    const others = (await appendInParts(rest, sharing, attempts - 1)).values()
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

  const appendAll = async (drafts: readonly Draft[]): Promise<readonly AppendResult[]> => {
    const sharers = sharersOf(drafts)
    const endAdmission = storedSizes.isLimited ? await admit(drafts, sharers) : NOTHING
    let isNew = true
    try {
      const appended: AppendResult[] = []
      const groups = [...groupsOf(drafts, sharers)]
      const sharing: Sharing = { sharers, publishedBodies: new Set() }
      const append = groups.length > 1 ? appendInParts : appendGroup
      // Sends few groups at a time: waiting groups hold one body per user in memory.
      for (let from = 0; from < groups.length; from += GROUPS_AT_ONCE) {
        const some = groups.slice(from, from + GROUPS_AT_ONCE)
        for (const each of await Promise.all(some.map(group => append(group, sharing))))
          appended.push(...each)
      }
      isNew = appended.some(({ repeated }) => !repeated)
      return appended
    } finally {
      endAdmission(isNew)
    }
  }

  /** The commonest append is one draft: it needs no lists of groups. */
  const appendNow = (drafts: readonly Draft[]): Promise<readonly AppendResult[]> => {
    const [first] = drafts
    return first === undefined || drafts.length > 1 || storedSizes.isLimited
      ? appendAll(drafts)
      : appendGroup([placeDraft(first, 0, NO_SHARERS)], ALONE)
  }

  return drafts => pace.turn(drafts.length)?.then(() => appendNow(drafts)) ?? appendNow(drafts)
}
