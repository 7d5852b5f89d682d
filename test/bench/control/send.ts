/** Delivers a send: find the user's sockets, write. Stores nothing for disconnected users. */
import { everyone, sendTo, websocket } from './users.ts'
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send, upgrade } from './wire.ts'

Bun.serve<string>({
  ...LISTEN,
  async fetch(request, host) {
    const path = pathOf(request)
    if (path === `${SENDS}/send` && hasKey(request)) {
      const send = (await request.json()) as Send
      const id = crypto.randomUUID()
      const reached = sendTo(send.target_user_id, frameOf(send, id))
      return resultOf(id, reached, reached === 0 ? 1 : 0)
    }
    if (path.startsWith('/ws?')) return upgrade(request, path, host)
    if (path !== `${SENDS}/broadcast` || !hasKey(request)) return other(path)
    // Runs only after the measured part of `connect`, to count the connections.
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    const text = frameOf(send, id)
    return resultOf(
      id,
      everyone().reduce((sum, user) => sum + sendTo(user, text), 0),
    )
  },
  websocket,
})
