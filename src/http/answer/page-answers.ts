import { AppError } from '../../errors.ts'
import { createSlots, type Release } from '../../lib/flow/slots.ts'

/** Characters of notification bodies or templates on one page. */
export const MAX_PAGE_BYTES = 1024 * 1024
/** Pages that are made or sent at the same time for one caller or client. */
const MAX_AT_ONCE = 4
/** Requests of one caller or client that wait for their page. */
const MAX_WAITING = 100
/** Time without progress after which a caller is disconnected. */
const STALLED_SECONDS = 30
/** Shorter answers fit into the kernel's buffers and hold no memory here. */
const SHORT_BYTES = 65_536
const PIECE_BYTES = 65_536
const HEADERS = { 'content-type': 'application/json' }

/** A request for a page. `identity` counts its pages; `server` ends a stalled connection. */
interface PageRequest {
  readonly request: Request
  readonly identity: string
  readonly server: { timeout(request: Request, seconds: number): void } | null
}

/** Answers with a page of JSON text. Throws 429 when too many of one identity wait. */
export type AnswerPage = (asker: PageRequest, make: () => Promise<string>) => Promise<Response>

/** Streams a page as the socket drains. An unread page keeps its slot, which bounds memory. */
function streamOf(bytes: Uint8Array, release: Release): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: controller => {
        controller.enqueue(bytes.subarray(at, at + PIECE_BYTES))
        at += PIECE_BYTES
        if (at < bytes.length) return
        controller.close()
        release()
      },
      cancel: release,
    },
    { highWaterMark: 0 },
  )
}

export function createPageAnswers(): AnswerPage {
  const slots = createSlots({ most: MAX_AT_ONCE, waiting: MAX_WAITING })

  return async ({ request, identity, server }, make) => {
    const release = await slots.take(identity)
    if (release === undefined)
      throw new AppError('RATE_LIMITED', {
        message: `Too many listings at once (at most ${MAX_AT_ONCE} running and ${MAX_WAITING} waiting): retry after a second.`,
        headers: { 'retry-after': '1' },
      })
    try {
      const bytes = Buffer.from(await make())
      if (bytes.length > SHORT_BYTES && request.method !== 'HEAD' && !request.signal.aborted) {
        server?.timeout(request, STALLED_SECONDS)
        request.signal.addEventListener('abort', release, { once: true })
        return new Response(streamOf(bytes, release), { headers: HEADERS })
      }
      release()
      return new Response(bytes, { headers: HEADERS })
    } catch (error) {
      release()
      throw error
    }
  }
}

/** The API key as an identity. Requests without a key share one identity. */
export const keyOf = ({ headers }: Request): string => headers.get('x-api-key') ?? ''
