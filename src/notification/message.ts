import * as v from 'valibot'
import { listOf } from '../lib/json/document.ts'

/** Names in one Subscribe or Unsubscribe. */
const MAX_NAMES = 1_000

const channels = v.object({ channels: v.pipe(listOf(v.string(), MAX_NAMES), v.maxLength(MAX_NAMES)) })

const HEX = '[0-9a-fA-F]'
const HYPHENATED = `${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}`
/** Hyphenated, braced, as a URN, or compact; in any case. Without flags, so that documents can say it. */
const UUID = new RegExp(
  `^(?:(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?${HYPHENATED}|\\{${HYPHENATED}\\}|${HEX}{32})$`,
)
const DIGITS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/
export const uuid = v.pipe(
  v.string(),
  v.regex(UUID, 'a UUID'),
  v.transform(text =>
    text.toLowerCase().replace('urn:uuid:', '').replace(/[{}-]/g, '').replace(DIGITS, '$1-$2-$3-$4-$5'),
  ),
)

/** What a client may say over its WebSocket. */
export const clientMessage = v.variant('type', [
  v.object({ type: v.literal('Subscribe'), payload: channels }),
  v.object({ type: v.literal('Unsubscribe'), payload: channels }),
  v.object({ type: v.literal('Ping'), payload: v.nullish(v.never()) }),
  v.object({ type: v.literal('Auth'), payload: v.object({ token: v.string() }) }),
  v.object({
    type: v.literal('Ack'),
    payload: v.union([
      v.object({ notification_id: uuid }),
      v.object({ notification_id: v.optional(v.null()), cursor: v.string() }),
    ]),
  }),
])

export type ClientMessage = v.InferOutput<typeof clientMessage>
export type AckPayload = Extract<ClientMessage, { type: 'Ack' }>['payload']

/** Undefined for text that is no known message. */
export function parseMessage(text: string): ClientMessage | undefined {
  try {
    const result = v.safeParse(clientMessage, JSON.parse(text), { abortEarly: true })
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}
