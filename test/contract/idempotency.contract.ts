import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Claim, RESERVED_MS, type Reservation } from '../../src/store/idempotency.ts'
import { fakeClock, LIMITS, noting, type OpenStore } from './store.contract.ts'

export const claim = (more: Partial<Claim> = {}): Claim => ({
  tenant: 'acme',
  key: 'k',
  fingerprint: 'f',
  id: '11111111-1111-4111-8111-111111111111',
  ...more,
})

const OTHER_ID = '22222222-2222-4222-8222-222222222222'
const TTL_MS = 100_000

/** Contract of idempotency keys that every store keeps. `open` opens an empty store. */
export function idempotencyContract(name: string, open: OpenStore): void {
  const start = async () => {
    const clock = fakeClock()
    const limits = { ...LIMITS, idempotencyTtlMs: TTL_MS }
    const store = await open({ limits, clock, observer: noting() })
    const { idempotency } = store
    return { clock, ...idempotency, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }

  describe(`${name}: idempotency`, () => {
    test('a new key is reserved with the id of the claim, and a repeat of the request gets in_progress', async () => {
      await using keys = await start()
      const { id } = claim()
      expect(await keys.reserve(claim())).toEqual({ type: 'reserved', id })
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'in_progress', id })
    })

    test('only one of many simultaneous requests gets the reservation', async () => {
      await using keys = await start()
      const all = await Promise.all(Array.from({ length: 50 }, () => keys.reserve(claim())))
      expect(all.map(({ type }) => type).sort()).toEqual([...Array(49).fill('in_progress'), 'reserved'])
    })

    test('a different request with the same key gets a conflict, during the first request and after it', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      const other = claim({ fingerprint: 'g' })
      expect(await keys.reserve(other)).toEqual({ type: 'conflict' })
      keys.answer(claim(), '{}')
      expect(await keys.reserve(other)).toEqual({ type: 'conflict' })
    })

    test('a repeat gets the stored answer unchanged', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      const answer = '{"text":"Grüße, \\"世界\\"\\u0000"}\n'
      keys.answer(claim(), answer)
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'answered', answer })
    })

    test('keys of two tenants, and similar keys of one tenant, stay separate', async () => {
      await using keys = await start()
      const claims = [
        claim(),
        claim({ tenant: 'globex' }),
        claim({ tenant: 'a', key: 'b:c' }),
        claim({ tenant: 'a.b', key: 'c' }),
        claim({ key: 'K' }),
        claim({ key: 'k}' }),
        claim({ key: '{k' }),
      ]
      const reserved = await Promise.all(claims.map(each => keys.reserve(each)))
      expect(reserved.map(({ type }) => type)).toEqual(claims.map(() => 'reserved'))
    })

    test('a key released as free is unused again', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.release(claim(), 'free')
      const other = claim({ fingerprint: 'g', id: OTHER_ID })
      expect(await keys.reserve(other)).toEqual({ type: 'reserved', id: OTHER_ID })
    })

    test('after an unknown outcome the same request is reserved at once with its earlier id', async () => {
      await using keys = await start()
      const { id } = claim()
      await keys.reserve(claim())
      keys.release(claim(), 'retry')
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'reserved', id })
      expect(await keys.reserve(claim())).toEqual({ type: 'in_progress', id })
      keys.answer(claim(), 'done')
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer: 'done' })
    })

    test('after an unknown outcome a different request gets the key with its own id', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.release(claim(), 'retry')
      const other = claim({ fingerprint: 'g', id: OTHER_ID })
      expect(await keys.reserve(other)).toEqual({ type: 'reserved', id: OTHER_ID })
    })

    test('a request without an answer blocks its key for half a minute, and its repeat then gets the same id', async () => {
      await using keys = await start()
      const { id } = claim()
      await keys.reserve(claim())
      keys.clock.time += RESERVED_MS
      expect(await keys.reserve(claim())).toEqual({ type: 'in_progress', id })
      keys.clock.time += 1
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'reserved', id })
      expect(await keys.reserve(claim())).toEqual({ type: 'in_progress', id })
    })

    test('a late answer does not change the reservation of a different request', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.clock.time += RESERVED_MS + 1
      const other = claim({ fingerprint: 'g', id: OTHER_ID })
      await keys.reserve(other)
      keys.answer(claim(), 'late')
      keys.release(claim(), 'free')
      expect(await keys.reserve(other)).toEqual({ type: 'in_progress', id: OTHER_ID })
    })

    test('a second answer or a release does not change a stored answer', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.answer(claim(), 'first')
      keys.answer(claim(), 'second')
      keys.release(claim(), 'free')
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer: 'first' })
    })

    test('a key stays in use for its ttl from first use, and no longer', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.clock.time += 10_000
      keys.answer(claim(), 'done')
      keys.clock.time += TTL_MS - 10_000
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer: 'done' })
      keys.clock.time += 1
      const other = claim({ fingerprint: 'g', id: OTHER_ID })
      expect(await keys.reserve(other)).toEqual({ type: 'reserved', id: OTHER_ID })
    })

    test('the store returns a long answer complete', async () => {
      await using keys = await start()
      const answer = `"${'ü\u2028😀'.repeat(50_000)}"`
      await keys.reserve(claim())
      keys.answer(claim(), answer)
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer })
    })

    test('no two different keys collide', async () => {
      await using keys = await start()
      const all = String.fromCharCode(...Array.from({ length: 0x7e - 0x20 }, (_, n) => 0x21 + n))
      const names = [all, 'x'.repeat(255), '!', '{', '{k}', '%s', '*', "'", '"', '\\', ':', '::']
      for (const key of names) expect((await keys.reserve(claim({ key }))).type).toBe('reserved')
      for (const key of names) keys.answer(claim({ key }), key)
      for (const key of names)
        expect(await keys.reserve(claim({ key }))).toEqual({ type: 'answered', answer: key })
    })

    test('a second attempt reserves the key for another half minute and does not extend its ttl', async () => {
      await using keys = await start()
      const { id } = claim()
      await keys.reserve(claim())
      keys.clock.time += RESERVED_MS + 1
      await keys.reserve(claim({ id: OTHER_ID }))
      keys.clock.time += RESERVED_MS
      expect(await keys.reserve(claim())).toEqual({ type: 'in_progress', id })
      keys.answer(claim(), 'done')
      keys.clock.time += TTL_MS - 2 * RESERVED_MS - 1
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer: 'done' })
      keys.clock.time += 1
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'reserved', id: OTHER_ID })
    })

    test('an answer after half a minute is stored if no other request has reserved the key', async () => {
      await using keys = await start()
      await keys.reserve(claim())
      keys.clock.time += RESERVED_MS + 1
      keys.answer(claim(), 'late')
      expect(await keys.reserve(claim())).toEqual({ type: 'answered', answer: 'late' })
    })

    test('an answer or release with another id, key or tenant changes nothing', async () => {
      await using keys = await start()
      const { id } = claim()
      keys.answer(claim(), 'too early')
      await keys.reserve(claim())
      for (const stranger of [claim({ id: OTHER_ID }), claim({ key: 'l' }), claim({ tenant: 'globex' })]) {
        keys.answer(stranger, 'foreign')
        keys.release(stranger, 'retry')
        keys.release(stranger, 'free')
      }
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'in_progress', id })
      keys.release(claim(), 'free')
      keys.answer(claim(), 'freed before')
      expect(await keys.reserve(claim({ id: OTHER_ID }))).toEqual({ type: 'reserved', id: OTHER_ID })
    })

    test('a thousand simultaneous requests are reserved, and their repeats are answered at once', async () => {
      await using keys = await start()
      const many = Array.from({ length: 1_000 }, (_, n) => claim({ key: `${n}` }))
      const reserved = await Promise.all(many.map(each => keys.reserve(each)))
      expect(reserved.every(({ type }) => type === 'reserved')).toBe(true)
      for (const each of many) keys.answer(each, each.key)
      const again = await Promise.all(many.map(each => keys.reserve(each)))
      expect(again).toEqual(many.map(({ key: answer }) => ({ type: 'answered', answer })))
    })

    test('every random sequence of calls gets the same answers from the store as from a naive model', async () => {
      const step = fc.record({
        what: fc.constantFrom('reserve', 'answer', 'free', 'retry', 'wait'),
        key: fc.constantFrom('a', 'b'),
        fingerprint: fc.constantFrom('f', 'g'),
        ms: fc.constantFrom(1, RESERVED_MS, 40_000, TTL_MS),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
          await using keys = await start()
          const model = new Model()
          /** The claim that last got `reserved`, by key. */
          const going = new Map<string, Claim>()
          let made = 0
          for (const { what, key, fingerprint, ms } of steps) {
            const held = going.get(key)
            if (what === 'wait') keys.clock.time += ms
            else if (what === 'reserve') {
              const id = `${String(made++).padStart(8, '0')}-1111-4111-8111-111111111111`
              const given = claim({ key, fingerprint, id })
              const reserved = await keys.reserve(given)
              expect(reserved).toEqual(model.reserve(given, keys.clock.time))
              if (reserved.type === 'reserved') going.set(key, { ...given, id: reserved.id })
            } else if (held !== undefined) {
              if (what === 'answer') keys.answer(held, held.id)
              else keys.release(held, what)
              model.end(held, what)
            }
          }
        }),
        { numRuns: 100 },
      )
    }, 30_000)
  })
}

interface Record {
  readonly fingerprint: string
  readonly id: string
  readonly firstAt: number
  until: number
  answer?: string
}

/** A model: one map without bounds. */
class Model {
  readonly #records = new Map<string, Record>()

  reserve({ key, fingerprint, id }: Claim, now: number): Reservation {
    const known = this.#records.get(key)
    const isOver = known === undefined || now > known.firstAt + TTL_MS
    const isSame = known?.fingerprint === fingerprint
    if (!isOver && known.answer !== undefined)
      return isSame ? { type: 'answered', answer: known.answer } : { type: 'conflict' }
    if (!isOver && now <= known.until)
      return isSame ? { type: 'in_progress', id: known.id } : { type: 'conflict' }
    if (!isOver && isSame) {
      known.until = now + RESERVED_MS
      return { type: 'reserved', id: known.id }
    }
    this.#records.set(key, { fingerprint, id, firstAt: now, until: now + RESERVED_MS })
    return { type: 'reserved', id }
  }

  end({ key, id }: Claim, what: string): void {
    const known = this.#records.get(key)
    if (known?.id !== id || known.answer !== undefined) return
    if (what === 'answer') known.answer = id
    else if (what === 'free') this.#records.delete(key)
    else known.until = 0
  }
}
