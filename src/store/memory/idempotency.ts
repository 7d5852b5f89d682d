import type { Clock } from '../../lib/time/clock.ts'
import type { Claim, Idempotency, Reservation } from '../idempotency.ts'
import { RESERVED_MS } from '../idempotency.ts'
import { KeyRecord, type KeysSize, TenantKeys } from './tenant-keys.ts'

const BOUNDS: Readonly<KeysSize> = { records: 200_000, bytes: 64 * 1024 * 1024 }
/** Expired keys removed at each use. The bound spares the first request after a quiet day. */
const MAX_EXPIRED_AT_ONCE = 100

const exceeds = (size: KeysSize, bounds: Readonly<KeysSize>): boolean =>
  size.records > bounds.records || size.bytes > bounds.bytes

/**
 * Keeps idempotency keys in this process. Beyond the bounds it drops the oldest key of a tenant over its share. A tenant
 * with many keys therefore evicts only its own.
 */
export function memoryIdempotency(clock: Clock, ttlMs: number, bounds = BOUNDS): Idempotency {
  const tenants = new Map<string, TenantKeys>()
  const size: KeysSize = { records: 0, bytes: 0 }
  /** The tenants whose expired keys are dropped next. */
  let turns = tenants.entries()
  /** A tenant that was over its share when last checked. */
  let largest: TenantKeys | undefined

  const isExpired = ({ firstAt }: KeyRecord): boolean => clock.monotonic() > firstAt + ttlMs

  const dropExpired = (keys: TenantKeys): void => {
    const before = clock.monotonic() - ttlMs
    for (let n = 0; n < MAX_EXPIRED_AT_ONCE && keys.dropOldest(before); n++);
  }

  /** Drops expired keys of another tenant too, because that tenant may never send again. */
  const dropExpiredInTurn = (): void => {
    let { value, done } = turns.next()
    if (done === true) {
      turns = tenants.entries()
      ;({ value, done } = turns.next())
    }
    if (value === undefined) return
    const [tenant, keys] = value
    dropExpired(keys)
    if (keys.size.records === 0) tenants.delete(tenant)
  }

  /** Finds a tenant over its share. One exists, because the total exceeds the bounds. */
  const withMoreThanItsShare = (user: TenantKeys): TenantKeys => {
    const share = { records: bounds.records / tenants.size, bytes: bounds.bytes / tenants.size }
    for (const keys of [user, largest]) if (keys !== undefined && exceeds(keys.size, share)) return keys
    for (const keys of tenants.values()) if (exceeds(keys.size, share)) return keys
    return user
  }

  const trim = (user: TenantKeys): void => {
    while (exceeds(size, bounds)) {
      largest = withMoreThanItsShare(user)
      if (!largest.dropOldest()) return
    }
  }

  const keysOf = ({ tenant }: Claim): TenantKeys => {
    const keys = tenants.get(tenant) ?? new TenantKeys(size)
    tenants.set(tenant, keys)
    return keys
  }

  const find = (claim: Claim): KeyRecord | undefined => {
    const keys = tenants.get(claim.tenant)
    const record = keys?.find(claim.key)
    if (record === undefined || !isExpired(record)) return record
    keys?.forget(record)
    return undefined
  }

  const begin = (claim: Claim): Reservation => {
    dropExpiredInTurn()
    const keys = keysOf(claim)
    dropExpired(keys)
    const record = new KeyRecord(claim, clock.monotonic())
    keys.add(record)
    trim(keys)
    return { type: 'reserved', id: record.id }
  }

  const again = (record: KeyRecord, claim: Claim): Reservation => {
    const now = clock.monotonic()
    const isSame = record.fingerprint === claim.fingerprint
    if (record.answer !== undefined)
      return isSame ? { type: 'answered', answer: record.answer } : { type: 'conflict' }
    if (now <= record.reservedUntil)
      return isSame ? { type: 'in_progress', id: record.id } : { type: 'conflict' }
    if (isSame) {
      record.reservedUntil = now + RESERVED_MS
      return { type: 'reserved', id: record.id }
    }
    keysOf(claim).forget(record)
    return begin(claim)
  }

  /** Finds the record that this request made, while it has no answer. */
  const openRecordOf = (claim: Claim): KeyRecord | undefined => {
    const record = find(claim)
    return record?.answer === undefined && record?.id === claim.id ? record : undefined
  }

  return {
    reserve: async claim => {
      const record = find(claim)
      return record === undefined ? begin(claim) : again(record, claim)
    },
    answer: (claim, answer) => {
      const record = openRecordOf(claim)
      if (record === undefined) return
      const keys = keysOf(claim)
      keys.answer(record, answer)
      trim(keys)
    },
    release: (claim, how) => {
      const record = openRecordOf(claim)
      if (record === undefined) return
      if (how === 'free') keysOf(claim).forget(record)
      else record.reservedUntil = 0
    },
  }
}
