import { version } from '../../package.json' with { type: 'json' }
import { ERRORS } from '../../src/errors.ts'
import { jsonSchemasOf, type NamedSchemas } from '../../src/http/openapi/schema.ts'
import { audience } from '../../src/protocol/audience.ts'
import { CLOSES } from '../../src/protocol/close-codes.ts'
import { SOCKET_ERROR_CODES } from '../../src/protocol/error-codes.ts'
import { type Message, SAID, STREAM, TOLD, WEBSOCKET } from './messages.ts'

const AT = '#/components/schemas/'

/** What is told over a stream only differs in one message. */
const SHARED = new Set(Object.keys(TOLD))
const keyOf = (channel: 'ws' | 'sse', type: string): string =>
  channel === 'sse' && !SHARED.has(type) ? `stream_${type}` : type

const refer = (...path: readonly string[]) => ({ $ref: `#/${path.join('/')}` })

/** Under a name with a capital what clients say; otherwise what they are told. */
const everything = (): Readonly<Record<string, Message>> => ({
  ...SAID,
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
    token: { type: 'string', description: 'A JWT, unless it comes otherwise' },
    cursor: {
      type: 'string',
      description:
        'The last cursor the client was sent: the connection starts behind it. Empty: nothing seen yet',
    },
  },
}

const WEBSOCKET_DESCRIPTION = `Text frames of one JSON object each, at most 64 KiB inbound. Keys, messages and events that a client does not know are to be ignored.
A token comes in the query, as \`Authorization: Bearer\`, or as \`Sec-WebSocket-Protocol: bearer, <token>\`.

${table(
  'Error',
  SOCKET_ERROR_CODES.map(code => `| \`${code}\` | ${ERRORS[code].help} |`),
)}
${table(
  'Close code',
  Object.values(CLOSES).map(({ code, reason }) => `| ${code} | ${reason} |`),
)}
Beside these, 1002, 1007 and 1009 for what breaks the protocol, is no UTF-8 or too long.`

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
      description: 'What clients are told and say. What goes over HTTP otherwise is in `/openapi.json`.',
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
        messages: messagesOf('ws', [...Object.keys(SAID), ...Object.keys(WEBSOCKET)]),
        bindings: { ws: { method: 'GET', query, bindingVersion: '0.1.0' } },
      },
      sse: {
        address: '/sse',
        description:
          'Server-sent events: `event:` is the name of the message, `data:` the message in one line. `Last-Event-ID` is as the ' +
          'parameter `cursor`, which it comes before. Channels cannot be subscribed to.',
        servers: [refer('servers', 'http')],
        messages: messagesOf('sse', Object.keys(STREAM)),
      },
    },
    operations: {
      ...Object.fromEntries(
        Object.entries(SAID).map(([type, { summary, answers }]) => [
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
      tellSocket: { ...told('ws', WEBSOCKET), summary: 'What a WebSocket is told, asked or not.' },
      tellStream: {
        ...told('sse', STREAM),
        summary: 'What a stream is told.',
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
  `# Written by \`bun run docs\`, from the schemas by which messages are understood.\n${Bun.YAML.stringify(asyncApi(), null, 2)}\n`
