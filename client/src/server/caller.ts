import { noAnswer, read } from './answer.ts'
import { AraError } from './error.ts'
import { createFollower } from './follow.ts'
import { settingsOf } from './settings.ts'
import { createTurns } from './turns.ts'
import type { ServerOptions } from './types.ts'

interface Request {
  readonly path: string
  readonly body: object
  /** Makes repeats harmless. */
  readonly key?: string
  readonly signal: AbortSignal | undefined
}

/** Calls the API, again where that may help. The body is the same each time, so that its key stands for it. */
export type Call = (request: Request) => Promise<object>

const FIRST_BACKOFF_MS = 400
const MAX_BACKOFF_MS = 20_000
/** The largest body of any call: a batch. Compared with characters, of which a body has no more than bytes. */
const MAX_BODY_BYTES = 1_048_576

function textOf(body: object): string {
  let text: string
  try {
    text = JSON.stringify(body)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new AraError('INVALID_ARGUMENT', `message: expected values that JSON can hold (${reason})`, {
      cause,
    })
  }
  // While it is sent, the service would answer and close the connection, which looks like a fault of the network.
  if (text.length > MAX_BODY_BYTES)
    throw new AraError('PAYLOAD_TOO_LARGE', `The body must be at most ${MAX_BODY_BYTES} bytes.`)
  return text
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new AraError('ABORTED', 'the signal of the caller ended the call', { cause: signal.reason })
}

/** Throws INVALID_ARGUMENT for options that cannot be used. */
export function createCaller(options: ServerOptions): Call {
  const {
    url,
    headers: shared,
    retries,
    timeout,
    deadline,
    concurrency,
    fetch,
    random,
    sleep,
  } = settingsOf(options)
  const turns = createTurns(concurrency)
  const follow = createFollower()

  const attempt = async (path: string, init: RequestInit, ms: number, caller: AbortSignal) => {
    const controller = new AbortController()
    const { signal } = controller
    const abort = (): void => controller.abort(new Error(`timed out after ${Math.ceil(ms)} ms`))
    // Not `AbortSignal.any`, which Node has since 20.3.
    const timer = setTimeout(abort, ms)
    caller.addEventListener('abort', abort)
    // A `fetch` of the caller may ignore the signal.
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
    // Following a redirect could show the key to another host.
    const exchange = async () => read(url, await fetch(url + path, { ...init, redirect: 'manual', signal }))
    try {
      return await Promise.race([exchange(), late])
    } catch (cause) {
      throwIfAborted(caller)
      return noAnswer(url, cause)
    } finally {
      clearTimeout(timer)
      caller.removeEventListener('abort', abort)
    }
  }

  const carryOut = async (path: string, init: RequestInit, signal: AbortSignal): Promise<object> => {
    const begunAt = performance.now()
    let pausedMs = 0
    // Pauses count in full, also when a test does not wait for them.
    const leftMs = (): number => deadline - Math.max(performance.now() - begunAt, pausedMs)
    throwIfAborted(signal)
    if (!(await turns.enter(leftMs(), signal))) {
      throwIfAborted(signal)
      throw new AraError(
        'TIMEOUT',
        `not sent within ${deadline} ms: ${concurrency} earlier calls have not ended`,
      )
    }
    try {
      for (let failures = 0; ; ) {
        throwIfAborted(signal)
        const result = await attempt(path, init, Math.min(timeout, leftMs()), signal)
        if ('answer' in result) return result.answer
        const { error, mayPass } = result
        // At least half: four pauses outlast the restart of a service, which takes seconds.
        const backoffMs = ((1 + random()) / 2) * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures)
        const pauseMs = error.retryAfter ? error.retryAfter * 1_000 : backoffMs
        // An earlier attempt of this call may still be running: its answer is worth the whole deadline.
        if (error.code !== 'IDEMPOTENCY_IN_PROGRESS') failures++
        if (!mayPass || retries === 0 || failures > retries || pauseMs >= leftMs()) throw error
        pausedMs += pauseMs
        await sleep(pauseMs, signal)
      }
    } finally {
      turns.leave()
    }
  }

  return async ({ path, body, key, signal }) => {
    const headers = { ...shared, ...(key !== undefined && { 'idempotency-key': key }) }
    const init = { method: 'POST', headers, body: textOf(body) }
    const following = follow(signal)
    try {
      return await carryOut(path, init, following.signal)
    } finally {
      following.end()
    }
  }
}
