import { version } from '../../package.json' with { type: 'json' }
import { ERRORS } from '../../src/errors.ts'
import { jsonSchemasOf, type NamedSchemas } from '../../src/http/openapi/schema.ts'
import { audience } from '../../src/protocol/audience.ts'
import { CLOSES } from '../../src/protocol/close-codes.ts'
import { SOCKET_ERROR_CODES } from '../../src/protocol/error-codes.ts'
import { COMMON_ANSWERS, type Message, SENT_BY_CLIENTS, STREAM, WEBSOCKET } from './messages.ts'

const AT = '#/components/schemas/'

/** Messages that are the same on WebSockets and streams. */
const SHARED = new Set(Object.keys(COMMON_ANSWERS))
const keyOf = (channel: 'ws' | 'sse', type: string): string =>
  channel === 'sse' && !SHARED.has(type) ? `stream_${type}` : type

const refer = (...path: readonly string[]) => ({ $ref: `#/${path.join('/')}` })

/** All messages by name. Names of client messages begin with a capital. */
const everything = (): Readonly<Record<string, Message>> => ({
  ...SENT_BY_CLIENTS,
  ...WEBSOCKET,
  ...Object.fromEntries(Object.entries(STREAM).map(([type, message]) => [keyOf('sse', type), message])),
})

const messagesOf = (channel: 'ws' | 'sse', types: readonly string[]) =>
  Object.fromEntries(types.map(type => [type, refer('components', 'messages', keyOf(channel, type))]))

const listOf = (channel: 'ws' | 'sse', types: readonly string[]) =>
  types.map(type => refer('channels', channel, 'messages', type))

const table = (head: string, rows: readonly string[]): string =>
  `| ${head} | |\n|---|---|\n${rows.join('\n')}\n`

const query = {
  type: 'object',
  properties: {
    token: { type: 'string', description: 'A JWT, unless it is sent as a header' },
    cursor: {
      type: 'string',
      description:
        'The last cursor that the client received: the connection starts behind it. Empty: nothing received yet',
    },
    channels: { type: 'string', description: 'Channels to subscribe to from the start, separated by commas' },
  },
}

const WEBSOCKET_DESCRIPTION = `Each text frame holds one JSON object; frames from clients have at most 64 KiB. Clients MUST ignore unknown keys, messages and events.
The token is sent in the query, as \`Authorization: Bearer\`, or as \`Sec-WebSocket-Protocol: bearer, <token>\`.

${table(
  'Error',
  SOCKET_ERROR_CODES.map(code => `| \`${code}\` | ${ERRORS[code].help} |`),
)}
${table(
  'Close code',
  Object.values(CLOSES).map(({ code, reason }) => `| ${code} | ${reason} |`),
)}
Also 1002 for a protocol error, 1007 for bad UTF-8 and 1009 for a message that is too long.`

/** The AsyncAPI document of `/ws` and `/sse`. */
export function asyncApi() {
  const all = everything()
  const schemas: NamedSchemas = {
    ...Object.fromEntries(Object.entries(all).map(([name, { schema }]) => [name, schema])),
    audience,
  }
  const told = (channel: 'ws' | 'sse', messages: object) => ({
    action: 'send',
    channel: refer('channels', channel),
    messages: listOf(channel, Object.keys(messages)),
  })
  return {
    asyncapi: '3.1.0',
    info: {
      title: 'Ara Notification Service',
      version,
      description:
        'Messages between clients and the server over WebSocket and SSE. `/openapi.json` describes the HTTP API.',
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/json',
    servers: {
      websocket: {
        host: 'localhost:8081',
        protocol: 'ws',
        security: [refer('components', 'securitySchemes', 'token')],
      },
      http: {
        host: 'localhost:8081',
        protocol: 'http',
        security: [refer('components', 'securitySchemes', 'token')],
      },
    },
    channels: {
      ws: {
        address: '/ws',
        description: WEBSOCKET_DESCRIPTION,
        servers: [refer('servers', 'websocket')],
        messages: messagesOf('ws', [...Object.keys(SENT_BY_CLIENTS), ...Object.keys(WEBSOCKET)]),
        bindings: { ws: { method: 'GET', query, bindingVersion: '0.1.0' } },
      },
      sse: {
        address: '/sse',
        description:
          'Server-sent events: `event:` is the name of the message, `data:` the message in one line. `Last-Event-ID` is like ' +
          'the parameter `cursor` and overrides it. A stream subscribes to the channels of its address.',
        servers: [refer('servers', 'http')],
        messages: messagesOf('sse', Object.keys(STREAM)),
      },
    },
    operations: {
      ...Object.fromEntries(
        Object.entries(SENT_BY_CLIENTS).map(([type, { summary, answers }]) => [
          type.toLowerCase(),
          {
            action: 'receive',
            summary,
            channel: refer('channels', 'ws'),
            messages: listOf('ws', [type]),
            reply: { channel: refer('channels', 'ws'), messages: listOf('ws', answers) },
          },
        ]),
      ),
      tellSocket: { ...told('ws', WEBSOCKET), summary: 'Messages that the server sends on a WebSocket.' },
      tellStream: {
        ...told('sse', STREAM),
        summary: 'Messages that the server sends on a stream.',
        bindings: { http: { method: 'GET', query, bindingVersion: '0.3.0' } },
      },
    },
    components: {
      messages: Object.fromEntries(
        Object.entries(all).map(([name, { summary, examples }]) => [
          name,
          {
            name: name.replace('stream_', ''),
            summary,
            payload: refer('components', 'schemas', name),
            examples: Object.entries(examples).map(([example, payload]) => ({ name: example, payload })),
          },
        ]),
      ),
      schemas: jsonSchemasOf(schemas, { target: 'draft-07', at: AT }),
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  }
}

/** The text of `docs/asyncapi.yaml`. */
export const asyncApiDocument = (): string =>
  `# Written by \`bun run docs\` from the schemas in src/protocol.\n${Bun.YAML.stringify(asyncApi(), null, 2)}\n`
