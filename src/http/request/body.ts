import { AppError } from '../../errors.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import { type Document, type Format, MAX_DEPTH, readDocument } from '../../lib/json/document.ts'
import { decodeUtf8 } from '../../lib/json/utf8.ts'

const tooLarge = (maxBytes: number) =>
  new AppError('PAYLOAD_TOO_LARGE', { message: `The body must be at most ${maxBytes} bytes.` })

const invalidJson = (message: string) => new AppError('INVALID_JSON', { message })

const unsupported = (message: string) => new AppError('UNSUPPORTED_MEDIA_TYPE', { message })

/** Values that callers send by mistake. Error texts repeat no others. */
const COMMON =
  /^(?:text\/(?:plain|html|xml)|application\/(?:x-www-form-urlencoded|octet-stream|xml)|multipart\/form-data|gzip|deflate|br|zstd|iso-8859-1|latin1|us-ascii|utf-16|windows-1252)$/
const shown = (value: string): string => (value === '' ? 'none' : COMMON.test(value) ? value : 'another one')

/** Accepts `application/json` and `application/*+json` in UTF-8 without Content-Encoding. */
function checkMediaType({ headers }: Request): void {
  const given = headers.get('content-type') ?? ''
  const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (encoding !== 'identity')
    throw unsupported(`Content-Encoding is not supported (got ${shown(encoding)}): send plain JSON.`)
  if (given === 'application/json') return
  const [type = '', ...parameters] = given
    .toLowerCase()
    .split(';')
    .map(part => part.trim())
  if (type !== 'application/json' && !/^application\/[^/\s]+\+json$/.test(type))
    throw unsupported(`Content-Type must be application/json (got ${shown(type)}).`)
  const charset = parameters
    .find(parameter => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  if ((charset ?? 'utf-8').replace('utf8', 'utf-8') !== 'utf-8')
    throw unsupported(`The charset of Content-Type must be utf-8 (got ${shown(charset ?? '')}).`)
}

/** Counts while reading: a body without Content-Length is rejected once it exceeds the cap. */
async function readChunks(request: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  const reader = request.body?.getReader()
  let size = 0
  for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
    size += read.value.byteLength
    chunks.push(read.value)
    if (size <= maxBytes) continue
    // Does not cancel: the rest of the body must be read before the answer.
    reader?.releaseLock()
    throw tooLarge(maxBytes)
  }
  return Buffer.concat(chunks)
}

/** Makes a disconnect in the middle of a body a 400: the server has no fault. */
const faultOf = (error: unknown): unknown =>
  error instanceof Error && error.name === 'AbortError'
    ? invalidJson('The connection closed before the whole body arrived.')
    : error

const messages = {
  depth: `The body must be nested at most ${MAX_DEPTH} levels deep.`,
  syntax: 'The body must be JSON.',
}

function documentOf<T>(bytes: Uint8Array, format: Format<T>): Document<T> {
  const text = decodeUtf8(bytes)
  if (text === undefined) throw invalidJson('The body must be UTF-8 without a byte order mark.')
  const reading = readDocument(text, format)
  if (reading.ok) return reading
  if (reading.fault === 'shape') throw new AppError('VALIDATION_ERROR', { details: reading.faults })
  throw invalidJson(messages[reading.fault])
}

function bytesOf(request: Request, maxBytes: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes)
  return length === null ? readChunks(request, maxBytes) : request.bytes()
}

/**
 * Reads a body and uses it. Rejects with 413 for size, 415 for media type, 400 for syntax, 422 for shape. A promise of the
 * document would be one more for each request.
 */
export async function useBody<T, U>(
  request: Request,
  format: Format<T>,
  maxBytes: number,
  use: (body: Document<T>) => Awaitable<U>,
): Promise<U> {
  let bytes: Uint8Array
  try {
    bytes = await bytesOf(request, maxBytes)
  } catch (error) {
    throw faultOf(error)
  }
  checkMediaType(request)
  return use(documentOf(bytes, format))
}

/** Reads a body, like `useBody`. */
export const readBody = <T>(request: Request, format: Format<T>, maxBytes: number): Promise<Document<T>> =>
  useBody(request, format, maxBytes, body => body)

/** Like `readBody`, but an empty body of any media type gives undefined. */
export async function readOptionalBody<T>(
  request: Request,
  format: Format<T>,
  maxBytes: number,
): Promise<Document<T> | undefined> {
  let bytes: Uint8Array
  try {
    bytes = await bytesOf(request, maxBytes)
  } catch (error) {
    throw faultOf(error)
  }
  if (bytes.length === 0) return undefined
  checkMediaType(request)
  return documentOf(bytes, format)
}
