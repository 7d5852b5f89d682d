/** A send to a user who is connected: look his sockets up and write. */
import { everyone, sendTo, websocket } from './users.ts'
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send, upgrade } from './wire.ts'

Bun.serve<string>({
  ...LISTEN,
  async fetch(request, host) {
    const path = pathOf(request)
    if (path === `${SENDS}/send` && hasKey(request)) {
      const send = (await request.json()) as Send
      const id = crypto.randomUUID()
      return resultOf(id, sendTo(send.target_user_id, frameOf(send, id)))
    }
    if (path.startsWith('/ws?')) return upgrade(request, path, host)
    if (path !== `${SENDS}/broadcast` || !hasKey(request)) return other(path)
    // Only after the measured part of `connect`, to see who is there.
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
