/** Publishes to a channel or to everyone by one publish of the runtime. */
import type { Server } from 'bun'
import { frameOf, hasKey, LISTEN, other, pathOf, resultOf, SENDS, type Send, upgrade } from './wire.ts'

const EVERYONE = 'everyone'

Bun.serve<string>({
  ...LISTEN,
  async fetch(request, server: Server<string>) {
    const path = pathOf(request)
    if (path.startsWith('/ws?')) return upgrade(request, path, server)
    const topic = path === `${SENDS}/channel` ? 'channel' : path === `${SENDS}/broadcast` ? 'all' : undefined
    if (topic === undefined || !hasKey(request)) return other(path)
    const send = (await request.json()) as Send
    const id = crypto.randomUUID()
    const name = topic === 'channel' ? send.channel : EVERYONE
    server.publish(name, frameOf(send, id), false)
    return resultOf(id, server.subscriberCount(name))
  },
  websocket: {
    open: socket => void socket.subscribe(EVERYONE),
    message(socket, text) {
      const { channels } = JSON.parse(String(text)).payload
      for (const channel of channels) socket.subscribe(channel)
      socket.send(JSON.stringify({ type: 'subscribed', payload: channels }))
    },
  },
})
