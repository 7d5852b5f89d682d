/**
 * Closing a socket that still holds unread bytes resets it, and the caller loses the answer (RFC 9112 §9.6). An answer
 * that comes before the end of the body therefore waits until the body has arrived, within these bounds.
 */
const MAX_BYTES = 4 * 1024 * 1024
const MAX_MS = 3_000
/** Bodies being read at once; beyond it an early answer goes out at once and closes. */
const MAX_AT_ONCE = 200

const hasBody = ({ headers }: Request): boolean =>
  (headers.get('content-length') ?? '0') !== '0' || headers.has('transfer-encoding')

/** A body over its cap has been read in part. */
const isUnread = (request: Request, { status }: Response): boolean =>
  (!request.bodyUsed || status === 413) && status !== 101 && hasBody(request)

/** Resolves with whether the whole body has arrived; what arrives is dropped. */
async function discard(request: Request): Promise<boolean> {
  const { body, headers } = request
  // The runtime hides the body of a GET, and passes over one of a stated length by itself.
  if (body === null) return !headers.has('transfer-encoding')
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
    // The caller has gone.
    return false
  } finally {
    clearTimeout(timer)
  }
}

/** Takes an answer; what it gives is to be sent instead. */
export type ReadOn = (request: Request, response: Response) => Response | Promise<Response>

/** Lets early answers reach their callers. */
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
