import { AppError } from '../../errors.ts'
import { createSlots, type Release } from '../../lib/flow/slots.ts'

/** Of the bodies on one page, in characters; what is left is on the next page. */
export const MAX_PAGE_BYTES = 1024 * 1024
/** Pages of one caller or client that are made or sent at once, and how many more may wait. */
const MAX_AT_ONCE = 4
const MAX_WAITING = 100
/** A caller that takes nothing of its page for so long is cut. */
const STALLED_SECONDS = 30
/** Shorter answers fit the kernel's buffers: nothing of them stays here. */
const SHORT_BYTES = 65_536
const PIECE_BYTES = 65_536
const HEADERS = { 'content-type': 'application/json' }

/** Who asks, by what is counted, and how its connection is told to end when it stalls. */
interface Asker {
  readonly request: Request
  readonly identity: string
  readonly server: { timeout(request: Request, seconds: number): void } | null
}

/** Answers with a page of JSON text; 429 when too many of the same identity wait. */
export type AnswerPage = (asker: Asker, make: () => Promise<string>) => Promise<Response>

/** Hands out a piece whenever the socket has room: a page that nobody reads holds a slot, and no second page comes. */
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
        message: `Too many listings at once: at most ${MAX_AT_ONCE} are answered and ${MAX_WAITING} wait.`,
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

/** The API key of a request, as an identity; without one all share. */
export const keyOf = ({ headers }: Request): string => headers.get('x-api-key') ?? ''
