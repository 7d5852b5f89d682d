import * as v from 'valibot'
import { listOf } from '../lib/json/document.ts'

/** Names in one Subscribe or Unsubscribe. */
const MAX_NAMES = 1_000

const channels = v.object({ channels: v.pipe(listOf(v.string(), MAX_NAMES), v.maxLength(MAX_NAMES)) })

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
  Ping: v.object({ type: v.literal('Ping'), payload: v.nullish(v.never()) }),
  Auth: v.object({ type: v.literal('Auth'), payload: v.object({ token: v.string() }) }),
  Ack: v.object({
    type: v.literal('Ack'),
    payload: v.union([
      v.object({ notification_id: uuid }),
      v.object({ notification_id: v.optional(v.null()), cursor: v.string() }),
    ]),
  }),
}

const clientMessage = v.variant('type', Object.values(CLIENT_MESSAGES))

export type ClientMessage = v.InferOutput<typeof clientMessage>
export type AckPayload = Extract<ClientMessage, { type: 'Ack' }>['payload']

/** Returns undefined for text that is no known message. */
export function parseMessage(text: string): ClientMessage | undefined {
  try {
    const result = v.safeParse(clientMessage, JSON.parse(text), { abortEarly: true })
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}
