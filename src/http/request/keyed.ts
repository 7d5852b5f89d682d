import { fingerprintOf, type Once, type PartsOf, type Try } from '../../dispatch/once.ts'
import { invalidValue } from '../../errors.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import { IDEMPOTENCY_KEY_RULE, isIdempotencyKey } from '../../protocol/names.ts'
import { pathOf } from './guard.ts'

/** A request that may carry an idempotency key. */
interface KeyedRequest {
  readonly request: Request
  readonly tenant: string
  /** `idempotency_key` of the body; the header `Idempotency-Key` wins. */
  readonly key: string | null | undefined
  /** The body exactly as sent. */
  readonly text: string
  readonly partsOf?: PartsOf | undefined
}

interface Answer {
  readonly headers: Record<string, string | number>
}

/** The idempotency key of a request. Throws 400 for an invalid header. */
function keyOf({ request, key }: KeyedRequest): string | undefined {
  const header = request.headers.get('idempotency-key')
  if (header === null) return key ?? undefined
  if (!isIdempotencyKey(header)) throw invalidValue('Idempotency-Key', `expected ${IDEMPOTENCY_KEY_RULE}`)
  return header
}

/** Runs a request once per key. A repeat gets the first answer, a JSON text, and `Idempotency-Replayed`. */
export function answering(once: Once) {
  const answerOnce = async (
    { request, tenant, text, partsOf }: KeyedRequest,
    key: string,
    set: Answer,
    carryOut: (as: Try) => Awaitable<string>,
  ): Promise<string> => {
    const claim = {
      tenant,
      key,
      fingerprint: fingerprintOf(pathOf(request.url), text),
      id: crypto.randomUUID(),
    }
    const { answer, isReplay } = await once.run(claim, carryOut, partsOf)
    if (isReplay) set.headers['idempotency-replayed'] = 'true'
    return answer
  }

  return (keyed: KeyedRequest, set: Answer, carryOut: (as?: Try) => Awaitable<string>): Awaitable<string> => {
    const key = keyOf(keyed)
    // Requests without a key await nothing.
    return key === undefined ? carryOut() : answerOnce(keyed, key, set, carryOut)
  }
}
