import { type BeginResult, fingerprintOf, type Once, type Try } from '../../../dispatch/once.ts'
import { AppError } from '../../../errors.ts'
import { asFailure, type FailedItem, type Fate } from './result.ts'

/** The part of a task that its key concerns. */
interface KeyedTask {
  readonly tenant: string
  readonly item: {
    readonly idempotency_key?: string | null | undefined
    readonly payload?: unknown
    readonly variables?: unknown
  }
  readonly raw: ReadonlyMap<string, string>
  readonly at: string
  readonly as: Partial<Try>
}

interface ClaimOptions<T extends KeyedTask> {
  readonly once: Once
  /** Tasks in batch order. */
  readonly tasks: readonly T[]
  /** Sends the item; must begin in the same turn. */
  readonly carryOut: (task: T, as: Try) => Promise<Fate> | Fate
  /** Claims all keys before the first item, in one commit: no item waits later. */
  readonly ahead: boolean
}

/** The items of one batch that have keys of their own. */
interface KeyedItems<T> extends Disposable {
  /** Runs an item or replays its earlier result; undefined for an item without a key. */
  of(task: T): Promise<Fate> | undefined
}

type ClaimResult = BeginResult | FailedItem

/** Fingerprint of an item: its fields, and the texts of payload and variables. */
const printOf = ({ item: { payload: _, variables: __, ...fields }, raw, at }: KeyedTask): string =>
  fingerprintOf(
    'batch item',
    JSON.stringify(fields),
    raw.get(`${at}payload`) ?? '',
    raw.get(`${at}variables`) ?? '',
  )

/** Claims the keys of a batch. Items that share a key share the result of the first. */
export async function claimKeys<T extends KeyedTask>({
  once,
  tasks,
  carryOut,
  ahead,
}: ClaimOptions<T>): Promise<KeyedItems<T>> {
  const prints = new Map<T, string>()
  const firsts = new Map<string, T>()
  for (const task of tasks) {
    const { idempotency_key: key } = task.item
    if (!key) continue
    prints.set(task, printOf(task))
    if (!firsts.has(key)) firsts.set(key, task)
  }

  const claim = (task: T, key: string): Promise<ClaimResult> => {
    const fingerprint = prints.get(task) ?? ''
    const id = task.as.id ?? crypto.randomUUID()
    return once.begin({ tenant: task.tenant, key, fingerprint, id }).catch(asFailure)
  }
  const claimed = new Map<T, ClaimResult>()
  /** Frees the keys of items that did not run because another item failed. */
  const release = (): void => {
    for (const begun of claimed.values()) if ('failed' in begun) begun.failed('free')
  }
  if (ahead) {
    const claims = await Promise.allSettled(
      [...firsts].map(async ([key, task]) => void claimed.set(task, await claim(task, key))),
    )
    const fault = claims.find(({ status }) => status === 'rejected')
    if (fault?.status === 'rejected') {
      release()
      throw fault.reason
    }
  }

  const carryOutClaimed = async (task: T, begun: ClaimResult): Promise<Fate> => {
    if ('failure' in begun) return begun
    if ('replay' in begun) return { outcome: JSON.parse(begun.replay), isReplay: true }
    try {
      // A retried batch gives the item its earlier id, which may be stored already.
      const fate = await carryOut(task, { ...begun, storedAt: begun.storedAt ?? task.as.storedAt })
      if ('outcome' in fate) begun.answered(JSON.stringify(fate.outcome))
      else begun.failed('failure' in fate && fate.failure.code === 'STORE_UNAVAILABLE' ? 'retry' : 'free')
      return 'outcome' in fate && begun.storedAt !== undefined ? { ...fate, isReplay: true } : fate
    } catch (error) {
      begun.failed('retry')
      throw error
    }
  }
  const carryOutFirst = async (task: T, key: string): Promise<Fate> =>
    carryOutClaimed(task, await claim(task, key))

  const repeat = async (task: T, first: T): Promise<Fate> => {
    if (prints.get(task) !== prints.get(first)) {
      once.note('conflict')
      return asFailure(new AppError('IDEMPOTENCY_KEY_REUSED'))
    }
    const fate = await fates.get(first)
    if (fate === undefined) throw new Error('the first item of a key must run before the others')
    if (!('outcome' in fate)) return fate
    once.note('replayed')
    return { ...fate, isReplay: true }
  }

  const fates = new Map<T, Promise<Fate>>()
  return {
    of: task => {
      const { idempotency_key: key } = task.item
      const first = key ? firsts.get(key) : undefined
      if (!key || first === undefined) return undefined
      if (first !== task) return repeat(task, first)
      const begun = claimed.get(task)
      claimed.delete(task)
      const fate = begun === undefined ? carryOutFirst(task, key) : carryOutClaimed(task, begun)
      fates.set(task, fate)
      return fate
    },
    [Symbol.dispose]: release,
  }
}
