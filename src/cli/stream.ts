import { isRecord, NoAnswer, parsed, refusalOf } from './api.ts'

/** An event of `/sse`. */
export interface ServerEvent {
  readonly event: string
  readonly data: string
  readonly id: string | undefined
}

/** The service answered, but opened no stream. */
export class StreamRefused extends Error {
  readonly status: number
  readonly retryAfterSeconds: number | undefined

  constructor(response: Response, body: Readonly<Record<string, unknown>> | undefined) {
    const { code, message } = refusalOf({ status: response.status, body })
    super(`${code}: ${message}`)
    this.status = response.status
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfterSeconds = Number.isFinite(seconds) ? seconds : undefined
  }
}

interface StreamRequest {
  readonly url: string
  readonly token: string
  readonly cursor?: string | undefined
  readonly channels?: readonly string[] | undefined
  readonly signal: AbortSignal
}

/** Time limit for the answer, and for silence until `connected` tells the heartbeat, milliseconds. */
const OPEN_MS = 10_000
const FIRST_SILENCE_MS = 60_000

function eventOf(block: string): ServerEvent | undefined {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  const [event, data] = [fields.get('event'), fields.get('data')]
  return event === undefined || data === undefined ? undefined : { event, data, id: fields.get('id') }
}

/** Two heartbeats: a stream that is silent for longer has lost its network. */
function silenceOf({ event, data }: ServerEvent): number | undefined {
  if (event !== 'connected') return undefined
  const seconds = parsed(data)?.['heartbeat_seconds']
  return typeof seconds === 'number' ? seconds * 2_000 : undefined
}

const isEventStream = ({ headers }: Response): boolean =>
  headers.get('content-type')?.startsWith('text/event-stream') === true

async function open({ url, token, cursor, channels }: StreamRequest, signal: AbortSignal): Promise<Response> {
  const query = new URLSearchParams({
    ...(cursor !== undefined && { cursor }),
    ...(channels !== undefined && { channels: channels.join() }),
  })
  const response = await fetch(`${url}/sse?${query}`, {
    headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    redirect: 'manual',
    signal,
  }).catch((error: unknown) => {
    throw new NoAnswer(url, error)
  })
  if (response.status === 200 && isEventStream(response)) return response
  const body: unknown = await response.json().catch(() => undefined)
  throw new StreamRefused(response, isRecord(body) ? body : undefined)
}

/** Reads a stream until it ends, breaks or is silent for too long. Rejects if it cannot be opened. */
export async function* readStream(request: StreamRequest): AsyncGenerator<ServerEvent> {
  const silent = new AbortController()
  const signal = AbortSignal.any([request.signal, silent.signal])
  const end = (): void => silent.abort(new DOMException('nothing arrived in time', 'TimeoutError'))
  let timer = setTimeout(end, OPEN_MS)
  const waitFor = (ms: number): void => {
    clearTimeout(timer)
    timer = setTimeout(end, ms)
  }
  try {
    const response = await open(request, signal)
    const decoder = new TextDecoder()
    let silenceMs = FIRST_SILENCE_MS
    let text = ''
    waitFor(silenceMs)
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = eventOf(block)
        if (event === undefined) continue
        silenceMs = silenceOf(event) ?? silenceMs
        yield event
      }
      waitFor(silenceMs)
    }
  } finally {
    clearTimeout(timer)
    silent.abort()
  }
}
