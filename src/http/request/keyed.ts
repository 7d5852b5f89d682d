import { fingerprintOf, type Once, type PartsOf, type Try } from '../../dispatch/once.ts'
import { invalidValue } from '../../errors.ts'
import { IDEMPOTENCY_KEY_RULE, isIdempotencyKey } from '../../protocol/names.ts'
import { pathOf } from './guard.ts'

/** A request that may be answered as it was before. */
interface KeyedRequests {
  readonly request: Request
  readonly tenant: string
  /** As its body says it; the header wins. */
  readonly key: string | null | undefined
  /** Its body, as it was sent. */
  readonly text: string
  readonly partsOf?: PartsOf | undefined
}

interface Answer {
  readonly headers: Record<string, string | number>
}

/** The key that the caller has given to a request. Throws 400 for a header that is none. */
function keyOf({ request, key }: KeyedRequests): string | undefined {
  const header = request.headers.get('idempotency-key')
  if (header === null) return key ?? undefined
  if (!isIdempotencyKey(header)) throw invalidValue('Idempotency-Key', `expected ${IDEMPOTENCY_KEY_RULE}`)
  return header
}

/** Carries out a request, once when it has a key; a repeat gets the same answer, and a header that says so. */
export function answering(once: Once) {
  const answerOnce = async <T extends object>(
    { request, tenant, text, partsOf }: KeyedRequests,
    key: string,
    set: Answer,
    carryOut: (as: Try) => Promise<T>,
  ): Promise<T> => {
    const claim = {
      tenant,
      key,
      fingerprint: fingerprintOf(pathOf(request.url), text),
      id: crypto.randomUUID(),
    }
    const { answer, isReplay } = await once.run(
      claim,
      async as => JSON.stringify(await carryOut(as)),
      partsOf,
    )
    if (isReplay) set.headers['idempotency-replayed'] = 'true'
    // It was an answer of the same route, made into text above.
    return JSON.parse(answer) as T
  }

  return <T extends object>(
    keyed: KeyedRequests,
    set: Answer,
    carryOut: (as?: Try) => Promise<T>,
  ): Promise<T> => {
    const key = keyOf(keyed)
    // Nothing is awaited for those who have none.
    return key === undefined ? carryOut() : answerOnce(keyed, key, set, carryOut)
  }
}
