import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020'
import addFormats from 'ajv-formats'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createLogger } from '../../src/observe/log.ts'

// biome-ignore lint/suspicious/noExplicitAny: checks read any field of a document.
export type Json = any

/** Answer of a running service. */
export interface Answered {
  readonly method: string
  /** Path with its query. */
  readonly path: string
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Operation of the document. */
export interface Described {
  readonly method: string
  /** Path as in the document: `/api/v1/channels/{name}`. */
  readonly path: string
  readonly operation: Json
}

/** Fetches the document of a service with default settings. */
async function serveDocument(): Promise<Json> {
  const { config } = loadConfig({ SERVER_HOST: '127.0.0.1', SERVER_PORT: '0', REDIS_URL: '' })
  const logger = await createLogger({ level: 'error', format: 'json', out: { write: () => {} } })
  await using app = await startApp({ config, version: '1.0.0', logger })
  const response = await fetch(`http://127.0.0.1:${app.port}/openapi.json`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`no document: ${text}`)
  return JSON.parse(text)
}

/** Fetched while the file loads, so that the time limit of its first test does not include it. */
export const DOCUMENT: Json = await serveDocument()

/** Resolves a reference; returns anything else unchanged. */
export const resolve = (document: Json, value: Json): Json =>
  value?.$ref === undefined
    ? value
    : value.$ref
        .slice(2)
        .split('/')
        .reduce((at: Json, key: string) => at[key], document)

const METHODS = ['get', 'put', 'post', 'delete']

export const operationsOf = (document: Json): readonly Described[] =>
  Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    METHODS.filter(method => method in item).map(method => ({
      method: method.toUpperCase(),
      path,
      operation: item[method],
    })),
  )

/** Forbids keys that no schema names: clients ignore them, documents must not. */
const closed = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, closed(inner)]))
  const isShape = copy['type'] === 'object' && 'properties' in copy && !('additionalProperties' in copy)
  return isShape ? { ...copy, additionalProperties: false } : copy
}

/** Makes checks from schemas of a document; closed ones reject unnamed keys. */
export function checksOf(document: Json, { isClosed }: { readonly isClosed: boolean }) {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true })
  ajv.addKeyword('components')
  addFormats(ajv)
  const known = new Map<Json, ValidateFunction>()
  const prepare = isClosed ? closed : (value: Json) => value
  const components = { schemas: prepare(document.components.schemas) }

  /** Finds the fault of a value; undefined if there is none. */
  return (schema: Json, value: unknown): string | undefined => {
    const check = known.get(schema) ?? ajv.compile({ ...prepare(schema), components })
    known.set(schema, check)
    return check(value) ? undefined : ajv.errorsText(check.errors)
  }
}

export type Check = ReturnType<typeof checksOf>

const HEADERS = [
  'x-request-id',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'retry-after',
  'www-authenticate',
  'upgrade',
  'allow',
  'idempotency-replayed',
]

/** Lists the operations of all paths. */
const ELSEWHERE: Readonly<Record<number, string>> = { 404: 'NOT_FOUND', 405: 'METHOD_NOT_ALLOWED' }

const isFit = (pattern: string, path: string): boolean => {
  const segments = path.split('/')
  const parts = pattern.split('/')
  return (
    parts.length === segments.length &&
    parts.every((part, n) => (part.startsWith('{') ? segments[n] !== '' : part === segments[n]))
  )
}

/** Finds the operation of a request; a fixed path wins over a variable one. */
function findOperation(document: Json, method: string, path: string): Json {
  const [plain = ''] = path.split('?', 1)
  const found =
    document.paths[plain] ?? document.paths[Object.keys(document.paths).find(key => isFit(key, plain)) ?? '']
  return found?.[method === 'HEAD' ? 'get' : method.toLowerCase()]
}

function headerFault(document: Json, headers: Headers, says: Json): string | undefined {
  const named = new Map(
    Object.entries<Json>(says ?? {}).map(([name, header]) => [name.toLowerCase(), resolve(document, header)]),
  )
  const unsaid = HEADERS.find(name => headers.has(name) && !named.has(name))
  if (unsaid !== undefined) return `the header ${unsaid}`
  const missing = [...named].find(([name, header]) => header.required && !headers.has(name))
  return missing && `no header ${missing[0]}`
}

function bodyFault(content: Json, { method, headers, text }: Answered, check: Check): string | undefined {
  if (method === 'HEAD') return undefined
  if (content === undefined) return text === '' ? undefined : 'a body'
  const [type = ''] = (headers.get('content-type') ?? '').split(';', 1)
  const media = content[type] ?? content[type.replace(/[^/]*$/, '*')]
  if (media === undefined) return `a body of ${type}`
  return check(media.schema, type === 'application/json' ? JSON.parse(text) : text)
}

/** Finds how an answer contradicts the document; undefined if it conforms. */
export function faultOf(document: Json, check: Check, answered: Answered): string | undefined {
  const { method, path, status, headers, text } = answered
  const operation = findOperation(document, method, path)
  if (operation === undefined || status === 405)
    return ELSEWHERE[status] === undefined && method !== 'OPTIONS'
      ? `an answer to ${method} ${path}`
      : undefined
  const response = resolve(document, operation.responses[status])
  if (response === undefined) return `the status ${status}: ${text}`
  const fault =
    headerFault(document, headers, response.headers) ?? bodyFault(response.content, answered, check)
  return fault && `${fault} in ${status}: ${text}`
}

const check = checksOf(DOCUMENT, { isClosed: true })

/** Throws if an answer contradicts the document. */
export function conform(answered: Answered): void {
  const fault = faultOf(DOCUMENT, check, answered)
  if (fault !== undefined)
    throw new Error(`${answered.method} ${answered.path}: /openapi.json does not say ${fault}`)
}

export interface Ask {
  readonly method: string
  readonly path: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

/** Sends a request and checks the answer against the document. Sends a string unchanged. */
export async function ask(
  url: string,
  { method, path, headers = {}, body }: Ask,
): Promise<Answered & { readonly json: Json }> {
  const abort = new AbortController()
  const response = await fetch(url + path, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: abort.signal,
  })
  const { status } = response
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
  const isStream = response.headers.get('content-type') === 'text/event-stream'
  const text = isStream ? await beginningOf(response) : await response.text()
  abort.abort()
  const answered = { method, path, status, headers: response.headers, text }
  conform(answered)
  return { ...answered, json: isJson && text !== '' ? JSON.parse(text) : undefined }
}

/** Reads an endless stream up to a notification. */
async function beginningOf({ body }: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (/event: notification\n.*\n\n/.test(text)) break
  }
  return text
}

export interface Credentials {
  readonly apiKey: string
  readonly token: string
}

/** Builds a request from the examples of an operation, with this body. */
export function requestOf(
  document: Json,
  { method, path, operation }: Described,
  { token, apiKey }: Credentials,
  body?: unknown,
): Ask {
  const parameters: readonly Json[] = operation.parameters.map((each: Json) => resolve(document, each))
  const exampleOf = (name: string) => encodeURIComponent(parameters.find(each => each.name === name).example)
  const query = parameters
    .filter(each => each.in === 'query' && each.example !== undefined)
    .map(({ name }) => `${name}=${exampleOf(name)}`)
  const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => exampleOf(name))
  const needs = operation.security.flatMap((each: Json) => Object.keys(each))
  return {
    method,
    path: query.length === 0 ? place : `${place}?${query.join('&')}`,
    headers: {
      ...(needs.includes('apiKey') && { 'x-api-key': apiKey }),
      ...(needs.includes('token') && { authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body }),
  }
}

/** Lists each status of an operation with its codes. */
export const refusalsOf = (
  document: Json,
  operation: Json,
): readonly (readonly [status: number, code: string])[] =>
  Object.entries<Json>(operation.responses).flatMap(([status, response]) => {
    const { schema } = resolve(document, response).content?.['application/json'] ?? {}
    const codes: readonly string[] = schema?.properties?.error?.properties.code.enum ?? []
    return codes.map(code => [Number(status), code] as const)
  })
