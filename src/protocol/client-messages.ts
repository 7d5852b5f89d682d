import * as v from 'valibot'
import { listOf } from '../lib/json/document.ts'
import { messageOf, pathOf } from '../lib/json/issue.ts'

/** Names in one Subscribe or Unsubscribe. */
const MAX_NAMES = 1_000

const channels = v.object({
  channels: v.pipe(
    listOf(v.string(), MAX_NAMES),
    v.maxLength(MAX_NAMES, 'at most 1,000 channels in one message'),
  ),
})

const HEX = '[0-9a-fA-F]'
const HYPHENATED = `${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}`
/** Hyphenated, braced, as a URN, or compact; in any case. Has no flags: JSON Schema knows none. */
const UUID = new RegExp(
  `^(?:(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?${HYPHENATED}|\\{${HYPHENATED}\\}|${HEX}{32})$`,
)
const DIGITS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/
/** Accepts each usual form and returns lower case with hyphens. */
export const uuid = v.pipe(
  v.string(),
  v.regex(UUID, 'a UUID'),
  v.transform(text =>
    text.toLowerCase().replace('urn:uuid:', '').replace(/[{}-]/g, '').replace(DIGITS, '$1-$2-$3-$4-$5'),
  ),
)

/** Schemas of the messages that a client sends on its WebSocket, by `type`. */
export const CLIENT_MESSAGES = {
  Subscribe: v.object({ type: v.literal('Subscribe'), payload: channels }),
  Unsubscribe: v.object({ type: v.literal('Unsubscribe'), payload: channels }),
  Ping: v.object({ type: v.literal('Ping'), payload: v.nullish(v.never('no payload')) }),
  Auth: v.object({ type: v.literal('Auth'), payload: v.object({ token: v.string() }) }),
  Ack: v.object({
    type: v.literal('Ack'),
    payload: v.union(
      [
        v.object({ notification_id: uuid }),
        v.object({ notification_id: v.optional(v.null()), cursor: v.string() }),
      ],
      'a notification_id that is a UUID, or a cursor that is a string',
    ),
  }),
}

const clientMessage = v.variant('type', Object.values(CLIENT_MESSAGES))

export type ClientMessage = v.InferOutput<typeof clientMessage>
export type AckPayload = Extract<ClientMessage, { type: 'Ack' }>['payload']

/** A message, or what is wrong with the text; the fault repeats nothing of it. */
export type ParsedMessage =
  | { readonly message: ClientMessage; readonly fault?: never }
  | { readonly message?: never; readonly fault: string }

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** An acknowledgement as `JSON.stringify` writes it, with an id as the service writes it. */
const USUAL_ACK =
  /^\{"type":"Ack","payload":\{"notification_id":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"\}\}$/

export function parseMessage(text: string): ParsedMessage {
  // Without JSON.parse and the schema: clients send one of these for each notification.
  const id = USUAL_ACK.exec(text)?.[1]
  if (id !== undefined) return { message: { type: 'Ack', payload: { notification_id: id } } }
  const value = jsonIn(text)
  if (value === undefined) return { fault: 'the message must be a JSON object (got text that is not JSON)' }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { fault: 'the message must be a JSON object (got another JSON value)' }
  const result = v.safeParse(clientMessage, value, { abortEarly: true })
  if (result.success) return { message: result.output }
  const [issue] = result.issues
  return { fault: `${pathOf(issue)}: ${messageOf(issue)}` }
}
