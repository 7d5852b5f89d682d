import { AppError } from '../../errors.ts'
import { createSlots, type Release } from '../../lib/flow/slots.ts'

/** Characters of notification bodies or templates on one page. */
export const MAX_PAGE_BYTES = 1024 * 1024
/** Long answers of one caller or client that are made or sent concurrently. */
const MAX_AT_ONCE = 4
/** Requests of one caller or client that wait for their page. */
const MAX_WAITING = 100
/** Time without progress after which a caller is disconnected. */
const STALLED_SECONDS = 30
/** Shorter answers fit into the kernel's buffers and hold no memory here. */
const SHORT_BYTES = 65_536
const PIECE_BYTES = 65_536

/** A request for a page. `identity` counts its pages; `server` ends a stalled connection. */
interface PageRequest {
  readonly request: Request
  readonly identity: string
  readonly server: { timeout(request: Request, seconds: number): void } | null
  /** Content type, by default that of JSON. */
  readonly type?: string
  /** Makes the text at once. A long one waits for a slot and is made again: waiting answers hold no text. */
  readonly isLookUp?: boolean
}

/** Answers with text that may be long. Throws 429 when too many answers of one identity wait. */
export type AnswerPage = (page: PageRequest, make: () => Promise<string>) => Promise<Response>

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

export function createPageAnswers({ waiting = MAX_WAITING } = {}): AnswerPage {
  const slots = createSlots({ most: MAX_AT_ONCE, waiting })

  const take = async (identity: string): Promise<Release> => {
    const release = await slots.take(identity)
    if (release !== undefined) return release
    throw new AppError('RATE_LIMITED', {
      message: `Too many listings at once (at most ${MAX_AT_ONCE} running and ${waiting} waiting): retry after a second.`,
      headers: { 'retry-after': '1' },
    })
  }

  const isShort = (bytes: Uint8Array, { method }: Request): boolean =>
    bytes.length <= SHORT_BYTES || method === 'HEAD'

  return async ({ request, identity, server, type = 'application/json', isLookUp = false }, make) => {
    const headers = { 'content-type': type }
    if (isLookUp) {
      const bytes = Buffer.from(await make())
      if (isShort(bytes, request)) return new Response(bytes, { headers })
    }
    const release = await take(identity)
    try {
      const bytes = Buffer.from(await make())
      if (isShort(bytes, request) || request.signal.aborted) {
        release()
        return new Response(bytes, { headers })
      }
      server?.timeout(request, STALLED_SECONDS)
      request.signal.addEventListener('abort', release, { once: true })
      return new Response(streamOf(bytes, release), { headers })
    } catch (error) {
      release()
      throw error
    }
  }
}

/** The API key as an identity. Requests without a key share one identity. */
export const keyOf = ({ headers }: Request): string => headers.get('x-api-key') ?? ''
