import { ERRORS, type HttpErrorCode } from '../../errors.ts'
import { NAME_RULES } from '../../protocol/names.ts'
import { OPERATIONS } from '../routes/operations.ts'
import { type Needs, nameOf, refusalsOf, refusedWith } from './errors.ts'
import { type Operation, TAGS } from './operation.ts'
import { jsonSchemasOf } from './schema.ts'
import { SCHEMAS } from './schemas.ts'

/** A route of the router. Its detail names its authentication, which the guard enforces. */
export interface RouteInfo {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly detail?: unknown }
}

interface Detail {
  readonly summary: string
  readonly security: readonly object[]
}

const DIALECT = { target: 'draft-2020-12', at: '#/components/schemas/' } as const

const text = { type: 'string' }
const count = { type: 'string', pattern: '^\\d+$' }

/** Headers of answers. The description says when an optional one is present. */
const HEADERS = {
  'X-Request-Id': { description: 'The id of the request, else a new one', required: true, schema: text },
  'X-RateLimit-Limit': {
    description:
      'With `RATELIMIT_ENABLED=true`: requests per second; for `/ws` and `/sse` connections per minute',
    schema: count,
  },
  'X-RateLimit-Remaining': {
    description: 'With `RATELIMIT_ENABLED=true`: requests that may follow at once',
    schema: count,
  },
  'X-RateLimit-Reset': {
    description:
      'With `RATELIMIT_ENABLED=true`: when the whole burst is available again, milliseconds since 1970',
    schema: count,
  },
  'Retry-After': { description: 'Seconds', schema: count },
  'Idempotency-Replayed': {
    description: '`true` if this answer is that of an earlier request with the same key',
    schema: { type: 'string', const: 'true' },
  },
  'WWW-Authenticate': { description: '`Bearer`, if a token is needed', schema: text },
  Upgrade: { description: '`websocket`', schema: text },
} as const

const PARAMETERS = {
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    description: 'Id of the request in logs and in the answer; an invalid one is replaced by a new id',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,128}$' },
  },
  Tenant: {
    name: 'X-Tenant-ID',
    in: 'header',
    description:
      'With `TENANT_ENABLED=true`: the tenant of the users and channels; without this header the tenant of the key, else `default`',
    schema: { type: 'string', ...NAME_RULES.tenant },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'Requests with the same key run once; takes precedence over `idempotency_key` in the body',
    schema: { type: 'string', ...NAME_RULES.idempotencyKey },
  },
} as const

const SECURITY = {
  apiKey: {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
    description: 'A key of `API_KEY` or `TENANT_API_KEYS`. In development without any key none is needed.',
  },
  token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The JWT of a client.' },
  tokenInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'token',
    description: 'The JWT of a client, for browsers.',
  },
} as const

const DESCRIPTION = `Notifies users now and never loses a notification. \`docs/API.md\` explains the API.

The server checks a request in this order: path and method, authentication, rate, size of the body, media type, JSON, shape, meaning.
\`HEAD\` works wherever \`GET\` does, except on \`/ws\` and \`/sse\`; \`OPTIONS\` works on every path. An unknown path is
404 \`NOT_FOUND\`, a known one with another method 405 \`METHOD_NOT_ALLOWED\` with \`Allow\`. Clients must ignore keys,
messages and events that they do not know. Every failed request is answered with one envelope:

| Code | Status | |
|---|---|---|
${Object.entries(ERRORS)
  .flatMap(([code, row]) => ('status' in row ? [`| \`${code}\` | ${row.status} | ${row.help} |`] : []))
  .join('\n')}
`

const refer = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })
const referAll = (kind: string, names: readonly string[]) =>
  Object.fromEntries(names.map(name => [name, refer(kind, name)]))

/** Headers of every answer of a route with these needs. */
const commonHeaders = ({ apiKey, token }: Needs): readonly string[] =>
  apiKey || token
    ? ['X-Request-Id', 'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']
    : ['X-Request-Id']

const named = (examples: Operation['examples'], which: 'body' | 'answer') =>
  Object.fromEntries(
    Object.entries(examples).flatMap(([name, { summary, [which]: value }]) =>
      value === undefined ? [] : [[name, { summary, value }]],
    ),
  )

function requestOf({ body, examples }: Operation) {
  if (body === undefined) return {}
  const content = { schema: refer('schemas', body.schema), examples: named(examples, 'body') }
  return {
    requestBody: {
      description: `At most ${body.maxBytes} bytes.`,
      required: body.optional !== true,
      content: { 'application/json': content },
      'x-max-bytes': body.maxBytes,
    },
  }
}

function answerOf({ answer, examples, isKeyed }: Operation, needs: Needs) {
  const headers = [...commonHeaders(needs), ...(isKeyed ? ['Idempotency-Replayed'] : [])]
  const { schema, description } = answer
  const mediaType = answer.mediaType ?? (schema && 'application/json')
  const shape = schema
    ? refer('schemas', schema)
    : { type: mediaType === 'application/json' ? 'object' : 'string' }
  const content = mediaType && { [mediaType]: { schema: shape, examples: named(examples, 'answer') } }
  return { description, headers: referAll('headers', headers), ...(content && { content }) }
}

/** Security schemes of a route. A token may come in a header or in the query. */
const securityOf = ({ apiKey, token }: Needs): readonly object[] => [
  ...(apiKey ? [{ apiKey: [] }] : []),
  ...(token ? [{ token: [] }, { tokenInQuery: [] }] : []),
]

/** Describes every route. Throws for a route without an operation. */
export function describe({
  routes,
  version,
}: {
  readonly routes: readonly RouteInfo[]
  readonly version: string
}) {
  const paths: Record<string, Record<string, object>> = {}
  const responses: Record<string, object> = {}

  const refusal = (status: number, codes: readonly HttpErrorCode[], needs: Needs) => {
    const name = nameOf(status, codes) + (needs.apiKey || needs.token ? '' : '.open')
    responses[name] ??= refusedWith(codes, DIALECT, own =>
      referAll('headers', [...commonHeaders(needs), ...own]),
    )
    return refer('responses', name)
  }

  for (const { method, path, hooks } of routes) {
    const operation = OPERATIONS[`${method} ${path}`]
    if (operation === undefined) throw new Error(`${method} ${path} has no operation`)
    const { summary, security } = hooks.detail as Detail
    const needs = {
      apiKey: security.some(scheme => 'apiKey' in scheme),
      token: security.some(scheme => 'token' in scheme),
    }
    const { id, tag, description, parameters = [], isKeyed, answer } = operation
    const refusals = [...refusalsOf(operation, needs)]
    const place = path.replaceAll(/:(\w+)/g, '{$1}')
    paths[place] ??= {}
    paths[place][method.toLowerCase()] = {
      operationId: id,
      summary,
      ...(description && { description }),
      tags: [tag],
      security: securityOf(needs),
      parameters: [
        ...parameters.map(parameter => ({ ...parameter, required: parameter.in === 'path' })),
        ...(isKeyed ? [refer('parameters', 'IdempotencyKey')] : []),
        ...(needs.apiKey ? [refer('parameters', 'Tenant')] : []),
        refer('parameters', 'RequestId'),
      ],
      ...requestOf(operation),
      responses: {
        [answer.status]: answerOf(operation, needs),
        ...Object.fromEntries(
          Object.entries(answer.otherwise ?? {}).map(([status, meaning]) => [
            status,
            { description: meaning, headers: referAll('headers', commonHeaders(needs)) },
          ]),
        ),
        ...Object.fromEntries(refusals.map(([status, codes]) => [status, refusal(status, codes, needs)])),
      },
    }
  }

  return {
    openapi: '3.1.2',
    info: {
      title: 'Ara Notification Service',
      version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: jsonSchemasOf(SCHEMAS, DIALECT),
      parameters: PARAMETERS,
      headers: HEADERS,
      responses,
      securitySchemes: SECURITY,
    },
  }
}
