import * as v from 'valibot'

const channels = v.object({ channels: v.array(v.string()) })

/** Hyphenated, compact, braced or `urn:uuid:`, in any case. */
const UUID =
  /^(?:urn:uuid:)?(\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(\})?$/i
const uuid = v.pipe(
  v.string(),
  v.regex(UUID),
  v.check(text => text.startsWith('{') === text.endsWith('}')),
  v.transform(text => text.toLowerCase().replace(UUID, '$2-$3-$4-$5-$6')),
)

/** What a client may say over its WebSocket. */
const clientMessage = v.variant('type', [
  v.object({ type: v.literal('Subscribe'), payload: channels }),
  v.object({ type: v.literal('Unsubscribe'), payload: channels }),
  v.object({ type: v.literal('Ping'), payload: v.nullish(v.never()) }),
  v.object({
    type: v.literal('Ack'),
    payload: v.union([
      v.object({ notification_id: uuid }),
      v.object({ notification_id: v.optional(v.null()), cursor: v.string() }),
    ]),
  }),
])

export type ClientMessage = v.InferOutput<typeof clientMessage>

/** Undefined for text that is no known message. */
export function parseMessage(text: string): ClientMessage | undefined {
  try {
    const result = v.safeParse(clientMessage, JSON.parse(text))
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}
