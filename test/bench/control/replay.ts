/** Replays the frames in memory to a reconnecting user, in one turn. */
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send, upgrade } from './wire.ts'

const kept = new Map<string, string[]>()

function keep(user: string, send: Send, id: string): void {
  const list = kept.get(user) ?? []
  list.push(frameOf(send, id, 'http-api', `bench:${list.length + 1}`))
  kept.set(user, list)
}

Bun.serve<string>({
  ...LISTEN,
  async fetch(request, host) {
    const path = pathOf(request)
    if (path.startsWith('/ws?')) return upgrade(request, path, host)
    if (path !== `${SENDS}/send-to-users` || !hasKey(request)) return other(path)
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    for (const user of send.target_user_ids) keep(user, send, id)
    return resultOf(id, 0, send.target_user_ids.length)
  },
  websocket: {
    open(socket) {
      socket.send(`{"type":"connected","user_id":"${socket.data}"}`)
      for (const frame of kept.get(socket.data) ?? []) socket.send(frame)
    },
    message() {},
  },
})
