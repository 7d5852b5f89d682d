/** A send to a user who is away: the frame goes into a bounded array of that user. */
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send } from './wire.ts'

const MAX_KEPT = 100

const kept = new Map<string, string[]>()

Bun.serve({
  ...LISTEN,
  async fetch(request) {
    const path = pathOf(request)
    if (path !== `${SENDS}/send` || !hasKey(request)) return other(path)
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    const list = kept.get(send.target_user_id) ?? []
    if (list.length === MAX_KEPT) list.shift()
    list.push(frameOf(send, id))
    kept.set(send.target_user_id, list)
    return resultOf(id, 0, 1)
  },
})
