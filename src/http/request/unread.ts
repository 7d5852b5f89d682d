/**
 * Bounds for reading the rest of a body before an early answer. Closing a socket with unread bytes would
 * reset it and lose the answer (RFC 9112 §9.6).
 */
const MAX_BYTES = 4 * 1024 * 1024
const MAX_MS = 3_000
/** Bodies read at the same time. Beyond it an early answer is sent at once and closes. */
const MAX_AT_ONCE = 200

const hasBody = ({ headers }: Request): boolean =>
  (headers.get('content-length') ?? '0') !== '0' || headers.has('transfer-encoding')

/** True also for a body over its cap, which was read in part. */
const isUnread = (request: Request, { status }: Response): boolean =>
  (!request.bodyUsed || status === 413) && status !== 101 && hasBody(request)

/** Reads and drops the rest of a body. Resolves with whether all of it arrived. */
async function discard(request: Request): Promise<boolean> {
  const { body } = request
  // The runtime hides the body of a GET or HEAD, and skips it itself.
  if (body === null) return true
  if (body.locked) return false
  const reader = body.getReader()
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(resolve, MAX_MS)
  try {
    for (let bytes = 0; bytes <= MAX_BYTES; ) {
      const read = await Promise.race([reader.read(), late])
      if (read === undefined) return false
      if (read.done) return true
      bytes += read.value.byteLength
    }
    return false
  } catch {
    // The caller disconnected.
    return false
  } finally {
    clearTimeout(timer)
  }
}

/** Gives the answer to send, after reading the rest of the body. */
export type ReadOn = (request: Request, response: Response) => Response | Promise<Response>

/** Makes early answers reach their callers. */
export function createReadOn(): ReadOn {
  let reading = 0

  const readOn = async (request: Request, response: Response): Promise<Response> => {
    const isFull = reading >= MAX_AT_ONCE
    reading++
    const isWhole = !isFull && (await discard(request))
    reading--
    if (!isWhole) response.headers.set('connection', 'close')
    return response
  }
  return (request, response) => (isUnread(request, response) ? readOn(request, response) : response)
}
