import { heapStats } from 'bun:jsc'
import { describe, expect, test } from 'bun:test'
import type { Claim, Idempotency } from '../../src/store/idempotency.ts'
import { memoryIdempotency } from '../../src/store/memory/idempotency.ts'
import { claim } from '../contract/idempotency.contract.ts'
import { fakeClock } from '../contract/store.contract.ts'

const TTL_MS = 100_000
const MIB = 1024 * 1024
/** Time limit: tests create hundreds of thousands of keys. */
const TIMEOUT_MS = 30_000

/** Reserves the key, and answers it if an answer is given. */
async function use(idempotency: Idempotency, key: string, answer?: string): Promise<Claim> {
  const first = claim({ key })
  await idempotency.reserve(first)
  if (answer !== undefined) idempotency.answer(first, answer)
  return first
}

/** Tells whether the key is still known; asking reserves an unknown one. */
const knows = async (idempotency: Idempotency, key: string): Promise<boolean> =>
  (await idempotency.reserve(claim({ key, fingerprint: 'another' }))).type === 'conflict'

/** Lists the known keys, youngest first: asking for an unknown key evicts the oldest. */
async function known(idempotency: Idempotency, keys: readonly string[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const key of keys.toReversed()) if (await knows(idempotency, key)) found.unshift(key)
  return found
}

describe('keys in memory', () => {
  test('free their place when released', async () => {
    const idempotency = memoryIdempotency(fakeClock(), TTL_MS, { records: 3, bytes: 2_000 })
    await use(idempotency, 'kept', '1')
    for (let n = 0; n < 10_000; n++) idempotency.release(await use(idempotency, `${n}`), 'free')
    expect(await known(idempotency, ['kept'])).toEqual(['kept'])
  })

  test(
    'are 200,000 at most, and 64 MiB',
    async () => {
      const many = memoryIdempotency(fakeClock(), TTL_MS)
      for (let n = 0; n < 200_001; n++) await use(many, `${n}`)
      expect([await knows(many, '200000'), await knows(many, '1'), await knows(many, '0')]).toEqual([
        true,
        true,
        false,
      ])
      const large = memoryIdempotency(fakeClock(), TTL_MS)
      const answer = 'x'.repeat(MIB)
      for (let n = 0; n < 65; n++) await use(large, `${n}`, answer)
      const keys = Array.from({ length: 65 }, (_, n) => `${n}`)
      expect(await known(large, keys)).toEqual(keys.slice(2))
    },
    TIMEOUT_MS,
  )

  test('of a tenant at its bound evict only keys of that tenant', async () => {
    const idempotency = memoryIdempotency(fakeClock(), TTL_MS, { records: 100, bytes: 1_000_000 })
    const of = (tenant: string, n: number): Claim => claim({ tenant, key: `${n}` })
    for (let n = 0; n < 20; n++) await idempotency.reserve(of('small', n))
    for (let n = 0; n < 1_000; n++) await idempotency.reserve(of('many', n))
    const again = async (tenant: string, n: number) => (await idempotency.reserve(of(tenant, n))).type
    for (let n = 0; n < 20; n++) expect(await again('small', n)).toBe('in_progress')
    expect([await again('many', 999), await again('many', 925)]).toEqual(['in_progress', 'in_progress'])
    expect(await again('many', 900)).toBe('reserved')
  })

  test('with a large answer evict only keys of their tenant', async () => {
    const idempotency = memoryIdempotency(fakeClock(), TTL_MS, { records: 1_000, bytes: 100_000 })
    const of = (tenant: string, key: string): Claim => claim({ tenant, key })
    await idempotency.reserve(of('small', 'k'))
    idempotency.answer(of('small', 'k'), '1')
    for (let n = 0; n < 50; n++) {
      await idempotency.reserve(of('large', `${n}`))
      idempotency.answer(of('large', `${n}`), 'x'.repeat(10_000))
    }
    expect((await idempotency.reserve(of('small', 'k'))).type).toBe('answered')
    expect((await idempotency.reserve(of('large', '49'))).type).toBe('answered')
    expect((await idempotency.reserve(of('large', '0'))).type).toBe('reserved')
  })

  test('are removed after expiry, even of tenants without new keys', async () => {
    const clock = fakeClock()
    const idempotency = memoryIdempotency(clock, TTL_MS)
    const before = heapStats().objectTypeCounts['Mark'] ?? 0
    for (let n = 0; n < 500; n++) await idempotency.reserve(claim({ tenant: `t${n}`, key: 'k' }))
    clock.time += TTL_MS + 1
    for (let n = 0; n < 600; n++) await idempotency.reserve(claim({ tenant: 'last', key: `${n}` }))
    Bun.gc(true)
    expect((heapStats().objectTypeCounts['Mark'] ?? 0) - before).toBeLessThan(650)
  })

  test(
    'take about as much memory as they are counted for',
    async () => {
      const heap = (): number => {
        Bun.gc(true)
        return heapStats().heapSize
      }
      const idempotency = memoryIdempotency(fakeClock(), TTL_MS, { records: 100_000, bytes: 16 * MIB })
      const before = heap()
      for (let n = 0; n < 60_000; n++) {
        // Slices of a request, like real keys.
        const request = Buffer.from(`${'z'.repeat(500)}${n}`).toString()
        const fingerprint = new Bun.CryptoHasher('sha256').update(request).digest('base64url')
        const first = claim({ key: request.slice(490), fingerprint })
        await idempotency.reserve(first)
        if (n % 10 === 0) idempotency.release(first, 'free')
        else idempotency.answer(first, `{"notification_id":"${first.id}","n":${n}}`)
      }
      expect(heap() - before).toBeLessThan(1.3 * 16 * MIB)
      expect(await knows(idempotency, `${'z'.repeat(10)}59999`)).toBe(true)
      expect(await knows(idempotency, `${'z'.repeat(10)}1`)).toBe(false)
    },
    TIMEOUT_MS,
  )

  test('that expire all at once are unknown after their time', async () => {
    const clock = fakeClock()
    const idempotency = memoryIdempotency(clock, TTL_MS)
    const keys = Array.from({ length: 5_000 }, (_, n) => `${n}`)
    for (const key of keys) await use(idempotency, key, '1')
    clock.time += TTL_MS + 1
    expect(await known(idempotency, keys)).toEqual([])
  })
})
